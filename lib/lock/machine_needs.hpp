// What a lock has for other machines alone.
#pragma once

#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "choose.hpp"
#include "kernels/lock/download.hpp"

namespace kernels::lock {

/// Tells which of the locked kernels a machine needs: the builds that fit it say so, from those on that the
/// project names. A lock has what the builds of all machines need.
class MachineNeeds {
  public:
    /// All of them must outlive it.
    MachineNeeds(const Lock& lock, const DownloadOptions& options, const hub::Hub& hub)
        : m_lock(lock), m_options(options), m_hub(hub) {}

    /// Reads the metadata of the builds that fit, and throws what hub::Hub does where it cannot be had. Where
    /// the lock lacks something, and where it is not known what the project names (DownloadOptions::direct),
    /// all is needed; what the project names is in any case.
    bool is_needed(const Dependency& dependency, const build::Target& target);

    /// Takes out the lacks of targets that do not need the kernel.
    void forgive(const LockedKernel& kernel, std::vector<Lack>& lacks);

  private:
    std::set<Dependency> needed_for(const build::Target& target) const;
    std::vector<Dependency> needs_of_builds(const LockedKernel& kernel, const build::Target& target) const;

    const Lock& m_lock;
    const DownloadOptions& m_options;
    const hub::Hub& m_hub;
    std::map<std::string, std::variant<std::set<Dependency>, Error>> m_needed;  // by target
};

}  // namespace kernels::lock
