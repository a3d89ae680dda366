// From dependencies to commits: the whole tree of kernels and the kernels that these need.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "kernels/core/reference.hpp"
#include "kernels/hub/hub.hpp"
#include "kernels/lock/lock_file.hpp"
#include "kernels/project/project.hpp"

namespace kernels::lock {

/// What a kernel's builds need, with the build variants that say so.
using KernelDepends = std::map<Dependency, std::vector<std::string>>;

/// The `kernel-depends` of all build variants of a commit; metadata that the cache has is not asked for.
/// Throws Error(not_found) for a build without metadata.json.
KernelDepends kernel_depends(const RepoId& repo, const Commit& commit, const hub::Hub& hub);

/// What a commit leads to.
struct Needs {
    /// What its builds need; of a kernel that has moved, what the builds that it left behind need, as far as
    /// their metadata tells: the Python client loads those.
    KernelDepends depends;
    std::optional<Dependency> moved_to;

    /// What is needed by who follows redirects: `depends`, or of a kernel that has moved the new place alone.
    std::vector<Dependency> natively() const;
    std::vector<Dependency> all() const;
};

/// Throws as kernel_depends and redirect_of do.
Needs needs_of(const RepoId& repo, const Commit& commit, const hub::Hub& hub);

/// Whether the cache holds all that says what a kernel needs, so that the Hub need not be asked.
bool knows_needs(const hub::Cache& cache, const LockedKernel& kernel);

/// Where the cache's listing of a commit has neither builds nor a kernel-status.toml, it may be what is
/// wrong: asks the Hub once more, offline nothing.
void renew_useless_listing(const RepoId& repo, const Commit& commit, const hub::Hub& hub);

struct ResolveOptions {
    std::vector<Dependency> dependencies;
    project::TrustPolicy trust;
    /// Entries to keep as they are, when they are still wanted.
    Lock keep;
};

/// Different states of one repository that a lock has, each with the path of dependencies that leads to it.
struct Conflict {
    struct State {
        LockedKernel kernel;
        std::vector<Dependency> path;  ///< from one of the project's to this kernel; the last is itself
    };
    RepoId repo;
    std::vector<State> states;  ///< in the lock's order
};

struct Resolution {
    Lock lock;
    std::vector<Conflict> conflicts;
};

/// Resolves every dependency, and the `kernel-depends` of all build variants of every kernel, to commits.
/// Kernels are looked at in parallel, as many as hub::Settings::jobs says; the publisher of each is checked
/// before anything of it is fetched. A kernel that has moved (see redirect.hpp) is locked with a warning, and
/// so is the kernel that it sends to, and what the builds that it left behind need, as the Python client
/// locks that; where it cannot be locked, a warning says why. Different states of one repository are all
/// locked, as the Python client does; a warning names the path to each.
///
/// Throws Error(verification) for publishers that are not trusted, Error(not_found) for what does not exist
/// (with the path of dependencies that led there), Error(failed) for cycles of dependencies or redirects and
/// for trees of more than a thousand kernels or a hundred levels, and what hub::Hub throws.
Resolution resolve(const ResolveOptions& options, const hub::Hub& hub);

/// As with_references(), but for entries whose builds say that they are another version than the project
/// names now: these stay as they are, and a warning names them. What says so is fetched from trusted
/// publishers.
Lock pinned_by(const Lock& lock, const std::vector<Dependency>& dependencies,
               const project::TrustPolicy& trust, const hub::Hub& hub);

/// Where a lock is not the whole tree of the dependencies, at the commits that it has itself: what is needed
/// and not locked, with the path that led there, or what is locked and not needed; one line each. What the
/// cache holds costs no request; the rest is fetched from trusted publishers, or offline left out of the
/// comparison.
std::vector<std::string> uncovered(const Lock& lock, const std::vector<Dependency>& dependencies,
                                   const project::TrustPolicy& trust, const hub::Hub& hub);

}  // namespace kernels::lock
