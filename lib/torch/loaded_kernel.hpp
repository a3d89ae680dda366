// A layer or function of a kernel that is on this machine: its source read, its library loaded.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "frontend.hpp"
#include "kernels/layer/mode.hpp"
#include "kernels/runtime/manifest.hpp"

namespace kernels::torchscript {

struct KernelLayer {
    std::string layer_name;  ///< as in the mapping
    std::string hub_layer;   ///< class in the kernel's layers module, or function of its package
    bool is_function = false;
    std::string repo;    ///< empty for a local kernel
    std::string commit;  ///< empty for a local kernel
    std::string variant;
    std::filesystem::path variant_folder;
    std::string op_namespace;  ///< metadata.json's id
};

struct LoadedKernel {
    KernelLayer plan;
    /// A function stands for the forward of a layer without state.
    LayerSource layer;
    /// The library; nothing for a kernel that has none.
    std::optional<runtime::KernelEntry> entry;
};

/// Reads the source and loads the library. Throws Error(not_found) for an unknown layer or function and
/// Error(kernelize) when the library cannot be loaded.
LoadedKernel load_kernel(KernelLayer kernel);

/// What forbids the layer in any model: the rules for hub layers. Empty when nothing does.
std::string broken_rule(const LoadedKernel& kernel);
/// What forbids the layer in this mode by its own flags. Empty when nothing does.
std::string unfit_for(const LoadedKernel& kernel, layer::Mode mode);

}  // namespace kernels::torchscript
