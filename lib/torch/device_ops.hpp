// The operators of kernels for devices that are not here.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "kernels/runtime/manifest.hpp"

namespace kernels::torchscript {

/// What became of the operators of a library.
struct DeviceOps {
    std::vector<std::string> defined;            ///< schemas, as TorchScript now knows them
    std::map<std::string, std::string> missing;  ///< operators that the build's Python calls, and why not
};

/// Defines the operators of a kernel library in this process by the schemas among its strings; the library is
/// neither loaded nor run. TorchScript then compiles calls of them, and a call says that there is no kernel.
/// A namespace that has operators already keeps them. `build_folder` holds the build's Python code, whose
/// calls tell which operators there must be.
///
/// Throws Error(kernelize) when the library has no schema at all or cannot be read. Thread-safe.
DeviceOps define_operators(const std::filesystem::path& library, const std::filesystem::path& build_folder,
                           const std::string& op_namespace);

/// Defines the operators that a kernelized model calls by the schemas in its manifest, or by those in the
/// library's strings where the manifest does not tell them; `model` is the model's file, for
/// finding the library. Nothing is loaded. Throws Error(failed) with `model` before it.
void define_operators(const runtime::KernelEntry& kernel, const std::string& model);

/// Whether the operators of a namespace are there by define_operators alone.
bool only_defined(const std::string& op_namespace);

}  // namespace kernels::torchscript
