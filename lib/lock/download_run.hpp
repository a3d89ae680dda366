// One download.
#pragma once

#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "choose.hpp"
#include "kernels/lock/download.hpp"
#include "machine_needs.hpp"
#include "spares.hpp"

namespace kernels::lock {

/// What is to be brought of a kernel.
struct DownloadPlan {
    LockedKernel kernel;
    bool has_moved = false;  ///< what is chosen was left behind, for the Python client only
    hub::Tree tree;
    Choice choice;
    std::vector<hub::FileRequest> files;
};

/// A second look at some of its kernels knows what the first found.
class DownloadRun {
  public:
    /// All of them must outlive it; see download().
    DownloadRun(const Lock& lock, const DownloadOptions& options, const hub::Hub& hub, const hub::Hub& asked)
        : m_lock(lock),
          m_options(options),
          m_hub(hub),
          m_spares(lock, options, hub),
          m_machine_needs(lock, options, asked) {}

    DownloadResult download(const std::vector<LockedKernel>& kernels, hub::Monitor* monitor);

  private:
    using Plan = DownloadPlan;
    struct Failed {
        LockedKernel kernel;
        Error error;
        bool out_of_reach;  // which the type of what was thrown tells
    };

    void bring(std::vector<Plan> chosen, hub::Monitor* monitor);
    std::vector<Plan> plan(const std::vector<LockedKernel>& kernels);
    // Of the kernels that lack a build those that are not needed where they lack it, which the builds that
    // have arrived say. The others are downloaded for all targets or not at all.
    std::vector<Plan> forgiven();
    std::vector<Plan> with_files(std::vector<Plan> plans);
    void take(const Plan& plan, std::span<const hub::FetchOutcome> outcomes);
    // The builds, or in `lacks` which of them cannot be used.
    std::vector<DownloadedBuild> finish(const Plan& plan, std::span<const hub::FetchedFile> files,
                                        std::vector<Lack>& lacks);
    // The version of the project's that an old lock has by its commit alone, where the builds say so too.
    std::optional<KernelVersion> named_version(const LockedKernel& kernel,
                                               const std::set<std::int64_t>& versions) const;
    // What would help against each lack is asked for at the same time.
    void tell_lacks();
    // Told at the end: whether anybody needs the kernel here, the builds say that arrive meanwhile.
    void fail(const LockedKernel& kernel, const Error& error);
    void tell_failures();
    // Empty where somebody needs the kernel, or may.
    std::string why_not_needed(const LockedKernel& kernel);

    const Lock& m_lock;
    const DownloadOptions& m_options;
    const hub::Hub& m_hub;
    Spares m_spares;
    MachineNeeds m_machine_needs;
    std::vector<Plan> m_lacking;
    std::vector<Failed> m_failed;
    std::vector<std::pair<LockedKernel, Lack>> m_lacks;
    DownloadResult m_result;
};

}  // namespace kernels::lock
