// Putting a compiled hub layer in the place of a layer's own forward.
#pragma once

#include <torch/script.h>

#include <map>
#include <optional>
#include <string>

#include "frontend.hpp"
#include "loaded_kernel.hpp"

namespace kernels::torchscript {

/// Replaces the forward of `layer`'s class. Throws Error(kernelize) with the reason when that is not
/// possible; the class is unchanged then.
void replace_forward(const torch::jit::Module& model, const torch::jit::Module& layer,
                     const LayerSource& hub_layer, const KernelLayer& kernel,
                     const std::map<std::string, project::AttributeValue>& attributes);

}  // namespace kernels::torchscript
