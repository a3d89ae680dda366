#include "kernels/lock/failures.hpp"

#include <algorithm>

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

}  // namespace kernels::lock
