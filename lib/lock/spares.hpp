// What a lock has for the Python client alone.
#pragma once

#include <mutex>
#include <optional>
#include <set>

#include "kernels/lock/download.hpp"

namespace kernels::lock {

/// Where this kernel sends to, if it has moved; its publisher is asked about before anything is fetched.
std::optional<Dependency> asked_redirect(const LockedKernel& kernel, const BeforeFetch& before_fetch,
                                         const hub::Hub& hub);

/// The kernels of a lock that nobody needs who follows redirects: those that have moved, and what only the
/// builds need that these left behind. The Python client follows none.
class Spares {
  public:
    /// All of them must outlive it.
    Spares(const Lock& lock, const DownloadOptions& options, const hub::Hub& hub)
        : m_lock(lock), m_options(options), m_hub(hub) {}

    /// Tells where the kernel sends to (see asked_redirect); gives whether it has moved, to what is locked
    /// too. For several threads at once.
    bool note(const LockedKernel& kernel, const std::optional<Dependency>& redirect);

    /// False where metadata that cannot be had or DownloadOptions::direct leave that open. Reads nothing
    /// where no kernel was noted as moved. Not for several threads at once.
    bool contains(const LockedKernel& kernel);

  private:
    std::set<Dependency> needed() const;

    const Lock& m_lock;
    const DownloadOptions& m_options;
    const hub::Hub& m_hub;
    std::mutex m_mutex;
    std::set<Dependency> m_moved;
    std::optional<std::set<Dependency>> m_needed;
};

}  // namespace kernels::lock
