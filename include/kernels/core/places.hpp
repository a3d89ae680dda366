// Where the Hugging Face tools keep things; the variables and defaults are huggingface_hub's.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "kernels/core/reference.hpp"

namespace kernels {

/// $HF_HOME, else huggingface below $XDG_CACHE_HOME or ~/.cache.
std::filesystem::path hugging_face_home();

/// The shared cache: $KERNELS_CACHE, $HF_HUB_CACHE, else hub below hugging_face_home().
std::filesystem::path hub_cache_folder();

/// A folder that stands in for a kernel repository.
struct LocalKernel {
    RepoId repo;
    std::filesystem::path folder;
};

/// What $LOCAL_KERNELS names: `org/name=folder:org2/name2=folder2`. Throws Error(usage) for an entry of
/// another form.
std::vector<LocalKernel> local_kernels();

/// The folder for one repository, the last one of several. Throws as local_kernels.
std::optional<std::filesystem::path> local_kernel_folder(const RepoId& repo);

}  // namespace kernels
