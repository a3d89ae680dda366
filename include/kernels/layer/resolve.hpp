// From a mapping entry to a build on this machine; the network is not asked.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "kernels/build/target.hpp"
#include "kernels/hub/cache.hpp"
#include "kernels/lock/lock_file.hpp"
#include "kernels/project/project.hpp"

namespace kernels::layer {

struct ResolvedKernel {
    std::string repo;    ///< empty for a local path
    std::string commit;  ///< empty for a local path
    std::string variant;
    std::filesystem::path folder;  ///< of the variant
    std::string id;                ///< metadata.json's id: the op namespace
};

/// Whether a build without code for the target's device is refused (see build::device_fit).
enum class DeviceCheck { yes, no };

/// Finds the build for `entry` that fits `target` in the cache (or below its local path; LOCAL_KERNELS wins
/// over both). `lock` is the project's, for entries without version and revision.
///
/// Throws Error(lock_missing) and Error(lock_stale) for what is not locked, Error(not_found) for what was not
/// downloaded, with the command that does, and Error(no_build) when nothing fits, or when
/// the build that does holds no code for the device that `target` names.
ResolvedKernel resolve(const project::LayerEntry& entry, const build::Target& target, const lock::Lock* lock,
                       const hub::Cache& cache, DeviceCheck check = DeviceCheck::yes);

}  // namespace kernels::layer
