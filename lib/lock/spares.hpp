// What a lock has for the Python client alone.
#pragma once

#include <optional>
#include <set>

#include "kernels/lock/download.hpp"

namespace kernels::lock {

/// Where this kernel sends to, if it has moved; its publisher is asked about before anything is fetched.
std::optional<Dependency> asked_redirect(const LockedKernel& kernel, const BeforeFetch& before_fetch,
                                         const hub::Hub& hub);

/// The kernels of a lock that nobody needs who follows redirects: those that have moved, and what only the
/// builds need that these left behind. The Python client follows none. Not for several threads at once.
class Spares {
  public:
    /// All of them must outlive it.
    Spares(const Lock& lock, const DownloadOptions& options, const hub::Hub& hub)
        : m_lock(lock), m_options(options), m_hub(hub) {}

    /// False where metadata that cannot be had or DownloadOptions::direct leave that open. Nothing is read
    /// before the first question, and no more than each kernel-status.toml where no kernel has moved.
    bool contains(const LockedKernel& kernel);

  private:
    void find_moved();
    std::set<Dependency> needed() const;

    const Lock& m_lock;
    const DownloadOptions& m_options;
    const hub::Hub& m_hub;
    std::optional<std::set<Dependency>> m_moved;
    std::optional<std::set<Dependency>> m_needed;
};

}  // namespace kernels::lock
