#include "kernels/lock/publishers.hpp"

#include "kernels/core/log.hpp"

namespace kernels::lock {

UntrustedPublisher::UntrustedPublisher(const RepoId& repo)
    : Error(ErrorCode::verification,
            repo.to_string() + ": " + repo.org() + " is not a trusted kernel publisher",
            "its code would run in your process; if you trust it, add trust-remote-code = [\"" +
                repo.to_string() + "\"] to the project file") {}

void require_trusted(const RepoId& repo, const project::TrustPolicy& policy, const hub::Hub& hub) {
    if (policy.allows(repo)) return;
    if (hub.settings().offline) {
        log::warning(repo.to_string() + ": offline, so whether its publisher is trusted was not checked");
        return;
    }
    if (hub.trusted_publisher(repo.org())) return;
    throw UntrustedPublisher(repo);
}

}  // namespace kernels::lock
