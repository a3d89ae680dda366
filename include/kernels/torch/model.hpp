// Reading and writing TorchScript archives.
#pragma once

#include <torch/script.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <unordered_map>

namespace kernels::torchscript {

/// A model with the extra files of its archive.
struct Model {
    torch::jit::Module module;
    std::unordered_map<std::string, std::string> extra_files;
    const std::atomic<bool>* cancel = nullptr;  ///< once true, save_model throws Error(interrupted)
};

/// What a model is loaded for.
enum class ModelUse {
    run,     ///< the kernels of a kernelized model are loaded
    inspect  ///< their operators are defined, and no library is loaded: to look at the model, or to kernelize
             ///< it
};

/// Loads an archive; the kernels of a kernelized one come first. Throws Error(not_found) when there is no
/// such file and Error(failed) when it is no TorchScript archive, with what it is instead where that can be
/// told, or damaged: every record's checksum is compared (see runtime/archive.hpp); and when its kernels are
/// not on this machine or, to run it, are for another one. Which libraries a model may name: see
/// runtime::load.
Model load_model(const std::filesystem::path& path, ModelUse use = ModelUse::run);

/// Forgets the operators that ModelUse::inspect defined and that `module` does not call any more, so that
/// their libraries can be loaded: after unkernelize(). No other module that calls them may be in use.
void forget_operators(const torch::jit::Module& module);

/// Reads a file of torch.save: a tensor, or tuples, lists and dictionaries of them. It is checked as a model
/// is. Throws Error(failed) when it is none, or larger than `limit` bytes.
c10::IValue load_values(const std::filesystem::path& path,
                        std::uintmax_t limit = std::numeric_limits<std::uintmax_t>::max());

/// Writes the archive beside `path` and renames it: a failure leaves nothing, not even a killed process
/// where the file system has unnamed files. Throws Error(failed).
void save_model(const Model& model, const std::filesystem::path& path);

}  // namespace kernels::torchscript
