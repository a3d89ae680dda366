#include "kernels/lock/failures.hpp"

#include <algorithm>

#include "kernels/core/log.hpp"
#include "kernels/core/text.hpp"

namespace kernels::lock {

std::vector<Failure> grouped(std::span<const std::pair<Dependency, Error>> failures) {
    std::vector<Failure> groups;
    for (const auto& [kernel, error] : failures) {
        const auto same =
            std::find_if(groups.begin(), groups.end(), [&, &error = error](const Failure& group) {
                return std::string_view(group.error.what()) == error.what() &&
                       group.error.code() == error.code() && group.error.hint() == error.hint() &&
                       group.error.details() == error.details();
            });
        if (same != groups.end()) {
            same->kernels.push_back(kernel);
        } else {
            groups.push_back({{kernel}, error});
        }
    }
    for (auto& group : groups) {
        const std::string message = group.error.what();
        if (message.find(group.kernels.front().repo.to_string()) != std::string::npos) continue;
        std::vector<std::string> names;
        for (const auto& kernel : group.kernels)
            names.push_back(kernel.to_string());
        group.error = group.error.reworded(join(names, ", ") + ": " + message);
    }
    return groups;
}

Error explained(const Error& error, const LockedKernel& kernel, const hub::Hub& hub) {
    const RepoId& repo = kernel.dependency.repo;
    if (error.code() != ErrorCode::not_found || hub.settings().offline) return error;
    try {
        if (hub.has_commit(repo, kernel.commit)) return error;
    } catch (const Error& unanswered) {
        log::debug(unanswered.what());
        return error;
    }
    const std::string& reference = kernel.dependency.reference.to_string();
    std::string hint;
    if (!kernel.legacy_hashes.empty()) {
        hint = "find out why; without its kernels.lock the project can be locked anew";
    } else if (reference == kernel.commit.to_string()) {
        hint = "find out why; whoever needs this commit has to name another revision";
    } else {
        hint = "its publisher may have rewritten " + reference + "; `kernels lock --upgrade " +
               repo.to_string() + "` locks what that is now";
    }
    return error.reworded(kernel.dependency.to_string() + ": the Hub no longer has the locked commit " +
                              kernel.commit.to_string(),
                          std::move(hint));
}

bool is_flaw(const Error& error) {
    return error.code() == ErrorCode::verification || error.code() == ErrorCode::not_found;
}

bool blames_cache(const Error& error) {
    const auto& remedies = error.remedies();
    return std::find(remedies.begin(), remedies.end(), Remedy::cache) != remedies.end();
}

}  // namespace kernels::lock
