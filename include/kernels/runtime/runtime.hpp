// What a process needs that runs kernelized models. Link kernels::kernels_runtime, or load
// libkernels_runtime.so with torch.ops.load_library and call torch.ops.kernels.load(path).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernels/runtime/manifest.hpp"

namespace kernels::runtime {

/// Loads the kernel libraries that the manifest of a kernelized model names, so that torch::jit::load(path)
/// works afterwards. A library is looked for in the folders of $KERNELS_LIBRARY_PATH, in `<path>.kernels/`
/// (whose libraries are trusted as much as the model), and in the Hugging Face cache; that of a local kernel
/// where the manifest says only below a folder of $LOCAL_KERNELS. It is loaded only when its SHA-256 is the
/// manifest's. Loading twice is fine; thread-safe. Nothing is loaded when this process cannot run the kernels
/// (see cannot_run).
///
/// Returns the op namespaces. Throws std::runtime_error with one line that says what is wrong and what to do.
KERNELS_RUNTIME_API std::vector<std::string> load(const std::string& path);

/// The manifest of a model file; nothing when the model is not kernelized. Throws std::runtime_error when the
/// file is no TorchScript archive.
KERNELS_RUNTIME_API std::optional<Manifest> read_manifest(const std::string& path);

/// Why this process cannot run kernels of a build for a device: torch finds no such device, or the build is
/// for another processor, operating system or torch. Empty when it can. A `variant` that is no name of a
/// build tells nothing.
KERNELS_RUNTIME_API std::string cannot_run(const std::string& device, const std::string& variant);

/// The library on this machine that a manifest's entry means, where load(model) looks for it. Throws
/// std::runtime_error when it is not there, or another one.
KERNELS_RUNTIME_API std::string find_library(const KernelEntry& kernel, const std::string& model);

/// Loads one kernel library (without Python), and makes its operators usable from TorchScript: schemas that
/// mark an output as `Tensor!` are registered once more as `Tensor(a!)`, since TorchScript's alias analysis
/// fails on the former. Throws std::runtime_error.
KERNELS_RUNTIME_API void load_library(const std::string& library, const std::string& op_namespace);

/// Whether this process has operators in the namespace, from whatever library.
KERNELS_RUNTIME_API bool has_operators(const std::string& op_namespace);

}  // namespace kernels::runtime
