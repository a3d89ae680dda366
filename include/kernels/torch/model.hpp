// Reading and writing TorchScript archives.
#pragma once

#include <torch/script.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <unordered_map>

namespace kernels::torchscript {

/// A model with the extra files of its archive.
struct Model {
    torch::jit::Module module;
    std::unordered_map<std::string, std::string> extra_files;
    const std::atomic<bool>* cancel = nullptr;  ///< once true, save_model throws Error(interrupted)
};

/// Loads an archive; the kernels of a kernelized one are loaded first. Throws Error(not_found) when there is
/// no such file and Error(failed) when it is no TorchScript archive, with what it is instead where that can
/// be told, or damaged: every record's checksum is compared (see runtime/archive.hpp).
Model load_model(const std::filesystem::path& path);

/// Writes the archive beside `path` and renames it: a failure leaves nothing, not even a killed process
/// where the file system has unnamed files. Throws Error(failed).
void save_model(const Model& model, const std::filesystem::path& path);

}  // namespace kernels::torchscript
