// Whether a kernel's publisher is trusted.
#pragma once

#include "kernels/core/reference.hpp"
#include "kernels/hub/hub.hpp"
#include "kernels/project/project.hpp"

namespace kernels::lock {

/// Nothing is asked about what `policy` allows; offline there is a warning in place of the check, as what the
/// cache holds was checked when it was downloaded. Throws Error(verification) for a publisher that the Hub
/// does not call trusted, and Error(network) when it does not answer. Thread-safe.
void require_trusted(const RepoId& repo, const project::TrustPolicy& policy, const hub::Hub& hub);

}  // namespace kernels::lock
