// Whether a kernel's publisher is trusted.
#pragma once

#include "kernels/core/error.hpp"
#include "kernels/core/reference.hpp"
#include "kernels/hub/hub.hpp"
#include "kernels/project/project.hpp"

namespace kernels::lock {

/// The Hub does not call a publisher trusted.
class UntrustedPublisher : public Error {
  public:
    explicit UntrustedPublisher(const RepoId& repo);
};

/// Nothing is asked about what `policy` allows; offline there is a warning in place of the check, as what the
/// cache holds was checked when it was downloaded. Throws UntrustedPublisher, which is an
/// Error(verification), and Error(network) when the Hub does not answer. Thread-safe.
void require_trusted(const RepoId& repo, const project::TrustPolicy& policy, const hub::Hub& hub);

}  // namespace kernels::lock
