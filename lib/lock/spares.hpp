// What a lock has for the Python client alone.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "kernels/lock/download.hpp"

namespace kernels::lock {

/// The kernel's files. Its publisher is asked about before anything is fetched, kernel-status.toml too.
hub::Tree asked_tree(const LockedKernel& kernel, const BeforeFetch& before_fetch, const hub::Hub& hub);

/// Where this kernel sends to, if it has moved; its publisher is asked about likewise.
std::optional<Dependency> asked_redirect(const LockedKernel& kernel, const BeforeFetch& before_fetch,
                                         const hub::Hub& hub);

/// Whether an error says of a kernel that it is gone from the Hub, or that its publisher is trusted no
/// longer: of all that can be wrong, what is not the fault of the Hub or of this machine.
bool is_withdrawn(const Error& error);

/// The same, or that it is not in the cache and this is offline.
bool is_out_of_reach(const Error& error, const hub::Hub& hub);

/// Tells what a lock has for the Python client alone, which follows no redirect: the kernels that have moved,
/// and what only the builds need that these left behind.
class Spares {
  public:
    /// All of them must outlive it.
    Spares(const Lock& lock, const DownloadOptions& options, const hub::Hub& hub)
        : m_lock(lock), m_options(options), m_hub(hub) {}

    /// Tells where the kernel sends to (see asked_redirect); gives whether it has moved, to what is locked
    /// too. For several threads at once.
    bool note(const LockedKernel& kernel, const std::optional<Dependency>& redirect);

    /// Whether the kernel has moved, or is needed by nobody who follows redirects. Reads nothing where no
    /// kernel was noted as moved. Throws Error(failed) for a kernel whose redirects lead back to it.
    bool contains(const LockedKernel& kernel);

    /// Whether who follows redirects comes by the kernel, moved or not. True where DownloadOptions::direct or
    /// what was published leave that open; throws what hub::Hub does where metadata cannot be had.
    bool is_needed(const LockedKernel& kernel);

  private:
    std::set<Dependency> needed() const;

    const Lock& m_lock;
    const DownloadOptions& m_options;
    const hub::Hub& m_hub;
    std::mutex m_mutex;  // of what follows
    std::map<Dependency, Dependency> m_moved;
    std::optional<std::set<Dependency>> m_needed;
    std::optional<Error> m_error;  // why that is not known: who does not answer is not asked again
};

}  // namespace kernels::lock
