#include <algorithm>
#include <deque>
#include <map>
#include <optional>

#include "kernels/core/log.hpp"
#include "kernels/core/text.hpp"
#include "kernels/lock/failures.hpp"
#include "kernels/lock/publishers.hpp"
#include "kernels/lock/redirect.hpp"
#include "kernels/lock/resolve.hpp"
#include "spares.hpp"

namespace kernels::lock {
namespace {

Needs needs_of_locked(const LockedKernel& kernel, const hub::Hub& hub) try {
    renew_useless_listing(kernel.dependency.repo, kernel.commit, hub);
    return needs_of(kernel.dependency.repo, kernel.commit, hub);
} catch (const Error& error) {
    throw explained(error, kernel, hub);
}

std::string not_compared(const Dependency& dependency) {
    return "so what " + dependency.to_string() + " needs was not compared with the lock";
}

}  // namespace

bool knows_needs(const hub::Cache& cache, const LockedKernel& kernel) {
    const RepoId& repo = kernel.dependency.repo;
    const auto tree = cache.read_listing(repo, kernel.commit);
    if (!tree) return false;
    const auto is_missing = [&](const std::string& path) {
        return tree->find(path) != nullptr && !cache.find_file(repo, kernel.commit, path);
    };
    const auto folders = tree->folders("build");
    if (folders.empty() && tree->find(status_file) == nullptr) return false;
    return !is_missing(status_file) && std::none_of(folders.begin(), folders.end(), [&](const auto& name) {
        return is_missing("build/" + name + "/metadata.json");
    });
}

std::vector<std::string> uncovered(const Lock& lock, const std::vector<Dependency>& dependencies,
                                   const project::TrustPolicy& trust, const hub::Hub& hub) {
    const auto look = [&](const LockedKernel& kernel) -> std::optional<Needs> {
        const Dependency& dependency = kernel.dependency;
        if (!knows_needs(hub.cache(), kernel)) {
            if (hub.settings().offline) {
                log::info("offline, " + not_compared(dependency));
                return std::nullopt;
            }
            require_trusted(dependency.repo, trust, hub);
        }
        return needs_of_locked(kernel, hub);
    };
    std::vector<std::string> lines;
    bool all_known = true;
    std::map<Dependency, std::string> paths;  // how each was reached
    std::deque<Dependency> open;
    std::vector<Dependency> left_behind;  // what only builds of kernels that have moved need
    for (const auto& dependency : dependencies) {
        if (paths.emplace(dependency, dependency.to_string()).second) open.push_back(dependency);
    }
    while (!open.empty()) {
        const Dependency dependency = open.front();
        open.pop_front();
        const std::string& path = paths.at(dependency);
        const auto* kernel = lock.find(dependency);
        if (kernel == nullptr) {
            const bool is_direct = path == dependency.to_string();
            for (const auto& line : missing_from(lock, {dependency}))
                lines.push_back(is_direct ? line : line + " (needed by " + path + ")");
            continue;
        }
        const auto needs = look(*kernel);
        all_known = all_known && needs;
        if (!needs) continue;
        for (const auto& needed : needs->natively()) {
            if (paths.emplace(needed, path + " -> " + needed.to_string()).second) open.push_back(needed);
        }
        const auto more = needs->all();
        left_behind.insert(left_behind.end(), more.begin(), more.end());
    }
    // What a kernel needs that is not locked is not known either.
    if (!all_known || !lines.empty()) return lines;
    // Locked or not: it may be that it cannot be (see resolve).
    while (!left_behind.empty()) {
        const Dependency dependency = left_behind.back();
        left_behind.pop_back();
        const auto* kernel = lock.find(dependency);
        if (kernel == nullptr || !paths.emplace(dependency, "").second) continue;
        try {
            const auto needs = look(*kernel);
            if (!needs) return lines;
            const auto more = needs->all();
            left_behind.insert(left_behind.end(), more.begin(), more.end());
        } catch (const Error& error) {
            if (!is_withdrawn(error)) throw;
            log::info(std::string(error.what()) + "; " + not_compared(dependency));
            return lines;
        }
    }
    for (const auto& kernel : lock.kernels()) {
        if (!paths.contains(kernel.dependency))
            lines.push_back(kernel.dependency.to_string() + " is locked, and nothing needs it");
    }
    return lines;
}

}  // namespace kernels::lock
