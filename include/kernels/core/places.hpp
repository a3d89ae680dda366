// Where the Hugging Face tools keep things; the variables and defaults are huggingface_hub's.
#pragma once

#include <filesystem>
#include <optional>

#include "kernels/core/reference.hpp"

namespace kernels {

/// $HF_HOME, else huggingface below $XDG_CACHE_HOME or ~/.cache.
std::filesystem::path hugging_face_home();

/// The shared cache: $KERNELS_CACHE, $HF_HUB_CACHE, else hub below hugging_face_home().
std::filesystem::path hub_cache_folder();

/// The folder that stands in for a kernel repository: $LOCAL_KERNELS, `org/name=folder:org2/name2=folder2`;
/// the last one of several for a repository. Throws Error(usage) for an entry of another form.
std::optional<std::filesystem::path> local_kernel_folder(const RepoId& repo);

}  // namespace kernels
