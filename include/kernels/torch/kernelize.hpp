// Rewriting TorchScript models so that their layers call kernels from the Hub.
#pragma once

#include <torch/script.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernels/project/project.hpp"
#include "kernels/runtime/manifest.hpp"

namespace kernels::torchscript {

/// A layer of a kernel that is on this machine, for a layer name.
struct KernelLayer {
    std::string layer_name;  ///< as in the mapping
    std::string hub_layer;   ///< class in the kernel's layers module
    std::string repo;        ///< empty for a local kernel
    std::string commit;
    std::string variant;
    std::filesystem::path variant_folder;
    std::string op_namespace;  ///< metadata.json's id
};

struct KernelizeOptions {
    std::string device = "cpu";
    std::string mode = "inference";
    std::vector<KernelLayer> kernels;
    /// Which classes and modules carry which layer name, and attributes that the model does not have.
    std::vector<project::Binding> bindings;
    /// Layer names that have no kernel here, with the reason; their layers are reported as kept.
    std::map<std::string, std::string> without_kernel;
};

/// Rewrites `module` in place: the forward of every layer with a kernel becomes the kernel repository's own
/// layer source, compiled by TorchScript. A module carries the layer name of the first binding that matches
/// its class (without
/// `__torch__.` and mangling) or path, else the last part of its class name. Scripted and traced models are
/// both taken.
///
/// The kernels' libraries are loaded into this process. The manifest that is given back lists every layer in
/// the order of the module tree, replaced or kept with the reason. Throws Error(kernelize) when a kernel
/// cannot be loaded.
runtime::Manifest kernelize(torch::jit::Module& module, const KernelizeOptions& options);

/// A class name for people and globs: without `__torch__.` and `___torch_mangle_N` parts.
std::string plain_class_name(const std::string& qualified_name);

/// Calls of the operators of each namespace but aten and prim, in all methods of the model, inlined modules
/// counted where they are called: {"_activation_cpu_1a2b3c4::silu_and_mul": 4}.
std::map<std::string, int> count_kernel_calls(const torch::jit::Module& module);

}  // namespace kernels::torchscript
