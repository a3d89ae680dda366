// Whether a kernel's publisher is trusted.
#pragma once

#include <future>
#include <map>
#include <mutex>
#include <string>

#include "kernels/core/reference.hpp"
#include "kernels/hub/hub.hpp"
#include "kernels/project/project.hpp"

namespace kernels::lock {

/// Asks the Hub once an organization, however many kernels it publishes. Thread-safe.
class Publishers {
  public:
    explicit Publishers(const hub::Hub& hub) : m_hub(hub) {}

    /// Nothing is asked about what `policy` allows; offline there is a warning in place of the check, as what
    /// the cache holds was checked when it was downloaded. Throws Error(verification) for a publisher that
    /// the Hub does not call trusted, and Error(network) when it does not answer.
    void require_trusted(const RepoId& repo, const project::TrustPolicy& policy);

  private:
    bool is_trusted(const std::string& org);

    const hub::Hub& m_hub;
    std::mutex m_mutex;
    std::map<std::string, std::shared_future<bool>> m_answers;
};

}  // namespace kernels::lock
