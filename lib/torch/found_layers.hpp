// Which modules of a TorchScript model carry which layer name.
#pragma once

#include <torch/script.h>

#include <string>
#include <vector>

#include "kernels/layer/mapping.hpp"
#include "kernels/torch/kernelize.hpp"

namespace kernels::torchscript {

/// A module of the model that carries a layer name.
struct FoundLayer {
    std::string path;
    torch::jit::Module module;
    std::string layer;
    const LayerBinding* binding = nullptr;  ///< nullptr: by the name of its class
    bool wanted = true;                     ///< the binding's condition, which is asked once for each module
};

/// In the order of the module tree; a module that is held in several places is there by every path. The
/// bindings must outlive the result.
std::vector<FoundLayer> find_layers(const torch::jit::Module& model,
                                    const std::vector<LayerBinding>& bindings,
                                    const layer::KernelMapping& mapping);

/// The same layers after their classes were split.
void find_again(std::vector<FoundLayer>& found, const torch::jit::Module& model);

/// Throws Error(usage) for a binding with both.
void require_no_conditions_on_patterns(const std::vector<LayerBinding>& bindings);

/// A glob with a mistake in it would look like a model without such layers.
void warn_of_idle_bindings(const torch::jit::Module& model, const std::vector<LayerBinding>& bindings);

/// The class of a module as globs see it.
std::string class_of(const torch::jit::Module& module);

}  // namespace kernels::torchscript
