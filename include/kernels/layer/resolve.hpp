// From a repository to a build on this machine.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "kernels/build/target.hpp"
#include "kernels/core/error.hpp"
#include "kernels/hub/cache.hpp"
#include "kernels/layer/repository.hpp"

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

/// Finds the build of `repository` that fits `target`, in the cache or below its local path; LOCAL_KERNELS
/// wins over both. The network is not asked.
///
/// Throws Error(lock_missing) and Error(lock_stale) for what is not locked, Error(not_found) for what was not
/// downloaded, with the command that does, and Error(no_build) when nothing fits, or when the build that does
/// holds no code for the device that `target` names.
ResolvedKernel resolve(const Repository& repository, const build::Target& target, const hub::Cache& cache,
                       DeviceCheck check = DeviceCheck::yes);

/// The device type that builds for a target run on: mps for metal, npu for cann, else the backend's name.
std::string device_type_of(const build::Target& target);

/// The compute capability that torch reports on the target's device, as mappings write it: of a CUDA target
/// its own, of a ROCm one 94 for gfx942 and 110 for gfx1100. Nothing when the target does not name it.
std::optional<int> capability_of(const build::Target& target);

}  // namespace kernels::layer
