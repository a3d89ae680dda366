// The library of a build that registers its operators with torch.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace kernels::build {

/// The library with the operators: the one that is named after their namespace, else the first; nothing where
/// the build has none.
std::optional<std::filesystem::path> torch_library(const std::filesystem::path& build_folder,
                                                   const std::string& op_namespace);

/// Why no TorchScript model can call a build's operators: it is for tvm-ffi, or has no library. Empty when
/// nothing is in the way.
std::string why_not_callable(const std::string& variant, bool has_library);

}  // namespace kernels::build
