// The builds of a kernel that are on this machine.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "kernels/build/build_variant.hpp"
#include "kernels/build/device_fit.hpp"
#include "kernels/build/metadata.hpp"

namespace kernels::app {

struct LocalBuild {
    build::BuildVariant variant;
    std::optional<build::Metadata> metadata;
    std::filesystem::path folder;  ///< where its files are, as far as they are on this machine
};

/// The folder that an argument means: the folder itself, or what LOCAL_KERNELS has for the repository;
/// nothing for any other repository. Throws Error(usage) for what is neither.
std::optional<std::filesystem::path> local_folder(const std::string& name);

/// A path as the Python client prints it: without `.` and doubled slashes, but `..` stays.
std::string printed_path(const std::filesystem::path& given);

/// A build whose metadata is no metadata still has a name and a backend to show: it is warned of, and has
/// none.
std::optional<build::Metadata> metadata_of(const std::string& text, const std::string& origin);

/// The builds below a folder's `build`, by name.
std::vector<LocalBuild> local_builds(const std::filesystem::path& folder);

/// How builds fit a device by all that is here of them, as a download judges it. `builds` must outlive it.
build::DeviceFitOf fit_of(const std::vector<LocalBuild>& builds);

}  // namespace kernels::app
