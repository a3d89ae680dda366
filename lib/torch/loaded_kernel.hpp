// A layer or function of a kernel that is on this machine: its source read, its library loaded.
#pragma once

#include <filesystem>
#include <map>
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
    /// Whether this process can run it (see runtime::cannot_run). The library of one that it cannot run is
    /// not loaded: its operators are defined by the schemas in it, so that a model can be made, not run.
    bool runs_here = true;
};

struct LoadedKernel {
    KernelLayer plan;
    /// A function stands for the forward of a layer without state.
    LayerSource layer;
    /// The library; nothing for a kernel that has none.
    std::optional<runtime::KernelEntry> entry;
    /// Operators that the kernel's Python code calls and that could not be defined, and why.
    std::map<std::string, std::string> missing;
};

/// Reads the source and loads the library. Throws Error(not_found) for an unknown layer or function and
/// Error(kernelize) when the library cannot be loaded, or when no TorchScript model can call the kernel: it
/// is Python alone, or registers its functions with tvm-ffi and not with torch.
LoadedKernel load_kernel(KernelLayer kernel);

/// What forbids the layer in this mode: the rules for hub layers, or its own flags, which must allow the mode
/// that it is mapped for too. Empty when nothing does.
std::string unfit_for(const LoadedKernel& kernel, layer::Mode mode, layer::Mode mapped);

}  // namespace kernels::torchscript
