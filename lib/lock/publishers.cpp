#include "kernels/lock/publishers.hpp"

#include "kernels/core/error.hpp"
#include "kernels/core/log.hpp"

namespace kernels::lock {

void Publishers::require_trusted(const RepoId& repo, const project::TrustPolicy& policy) {
    if (policy.allows(repo)) return;
    if (m_hub.settings().offline) {
        log::warning(repo.to_string() + ": offline, so whether its publisher is trusted was not checked");
        return;
    }
    if (is_trusted(repo.org())) return;
    throw Error(ErrorCode::verification,
                repo.to_string() + ": " + repo.org() + " is not a trusted kernel publisher",
                "its code would run in your process; if you trust it, add trust-remote-code = [\"" +
                    repo.to_string() + "\"] to the project file");
}

bool Publishers::is_trusted(const std::string& org) {
    // Who asks first asks for all; the others wait for the answer.
    std::packaged_task<bool()> ask([this, &org] { return m_hub.trusted_publisher(org); });
    std::shared_future<bool> answer;
    bool is_first = false;
    {
        const std::lock_guard lock(m_mutex);
        auto& known = m_answers[org];
        is_first = !known.valid();
        if (is_first) known = ask.get_future().share();
        answer = known;
    }
    if (is_first) ask();
    return answer.get();
}

}  // namespace kernels::lock
