// From dependencies to commits: the whole tree of kernels and the kernels that these need.
#pragma once

#include <vector>

#include "kernels/core/reference.hpp"
#include "kernels/hub/hub.hpp"
#include "kernels/lock/lock_file.hpp"
#include "kernels/project/project.hpp"

namespace kernels::lock {

struct ResolveOptions {
    std::vector<Dependency> dependencies;
    project::TrustPolicy trust;
    /// Entries to keep as they are, when they are still wanted.
    Lock keep;
};

/// Resolves every dependency, and the `kernel-depends` of all build variants of every kernel, to commits.
/// Kernels are looked at in parallel; the publisher of each is checked before anything of it is fetched.
///
/// Throws Error(verification) for publishers that are not trusted, Error(not_found) for what does not exist
/// (with the path of dependencies that led there), Error(failed) for cycles, and what hub::Hub throws.
Lock resolve(const ResolveOptions& options, const hub::Hub& hub);

}  // namespace kernels::lock
