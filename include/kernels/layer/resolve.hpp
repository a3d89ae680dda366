// From a repository to a build on this machine.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/build/device_fit.hpp"
#include "kernels/build/target.hpp"
#include "kernels/hub/cache.hpp"
#include "kernels/hub/hub.hpp"
#include "kernels/layer/repository.hpp"

namespace kernels::layer {

/// A build of a kernel on this machine.
struct ResolvedKernel {
    std::string repo;    ///< empty for a local path
    std::string commit;  ///< empty for a local path
    std::string variant;
    std::filesystem::path folder;  ///< of the variant
    std::string id;                ///< metadata.json's id: the op namespace
    /// What its metadata.json has to tell. A Resolver tells it, of each build once.
    std::vector<build::Remark> remarks;

    /// "org/name@0123456789ab: torch-cpu", as messages name it.
    std::string describe() const;
};

/// Whether a build without code for the target's device is refused (see build::device_fit).
enum class DeviceCheck { yes, no };

/// Whether a resolver with a Hub downloads what the cache lacks.
enum class Fetch { yes, no };

/// Finds the build of `repository` that fits `target`, in the cache or below its local path. The folder that
/// LOCAL_KERNELS names for a repository wins over the cache and a lock. The network is not asked.
///
/// Throws Error(lock_missing) and Error(lock_stale) for what is not locked, Error(not_found) for what was not
/// downloaded, with the command that does, and Error(no_build) when nothing fits, or when the build that does
/// holds no code for the device that `target` names; Error(verification) for a build from a Hub whose files
/// are not the ones that its metadata names.
ResolvedKernel resolve(const Repository& repository, const build::Target& target, const hub::Cache& cache,
                       DeviceCheck check = DeviceCheck::yes);

/// Resolves repositories for one target, each once: what was found is remembered by repository, which
/// includes the layer's name, as the Python client remembers the layers it has loaded. Failures are not. What
/// the metadata of a build has to tell (build::remarks) is logged, of each build once.
/// Thread-safe.
class Resolver {
  public:
    /// Looks in the cache, as resolve() does. No publisher can be checked; of one that trust_remote_code does
    /// not allow there is a warning.
    Resolver(build::Target target, const hub::Cache& cache, DeviceCheck check = DeviceCheck::yes);
    /// Downloads what the cache lacks, with all that it needs, each byte checked: of a version or branch the
    /// commit that it has on the Hub now, of a locked repository its commit. The publishers must be trusted,
    /// or allowed by trust_remote_code, also of what is in the cache. With Fetch::no only they are asked for,
    /// once each organization, and the kernels come from the cache. Offline (HF_HUB_OFFLINE) it is as if it
    /// had only the cache. `hub` must outlive it.
    Resolver(build::Target target, const hub::Hub& hub, DeviceCheck check = DeviceCheck::yes,
             Fetch fetch = Fetch::yes);
    ~Resolver();
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;

    /// Throws what resolve() does; with a hub also Error(verification) for a publisher that is not trusted
    /// and for bytes that are not what their hash says, Error(not_found) and Error(network).
    ResolvedKernel resolve(const Repository& repository);

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

/// The device type that builds for a target run on: mps for metal, npu for cann, else the backend's name.
std::string device_type_of(const build::Target& target);

/// The compute capability that torch reports on the target's device, as mappings write it: of a CUDA target
/// its own, of a ROCm one 94 for gfx942 and 110 for gfx1100. Nothing when the target does not name it.
std::optional<int> capability_of(const build::Target& target);

}  // namespace kernels::layer
