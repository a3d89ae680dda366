#include "machine_needs.hpp"

#include <algorithm>
#include <vector>

#include "kernels/core/log.hpp"
#include "kernels/lock/redirect.hpp"
#include "spares.hpp"

namespace kernels::lock {

void MachineNeeds::forgive(const LockedKernel& kernel, std::vector<Lack>& lacks) {
    std::erase_if(lacks, [&](const Lack& lack) {
        const bool is_empty = lack.selection.decisions.empty();  // which may be the cache's fault
        if (!lack.target || is_empty || is_needed(kernel.dependency, *lack.target)) return false;
        log::info(name_of(kernel) + ": no build for " + lack.target->to_string() +
                  ", and what else is locked does not need it there");
        return true;
    });
}

bool MachineNeeds::is_needed(const Dependency& dependency, const build::Target& target) {
    const auto& direct = m_options.direct;
    if (direct.empty() || std::find(direct.begin(), direct.end(), dependency) != direct.end()) return true;
    auto [known, is_new] = m_needed.try_emplace(target.to_string());
    if (is_new) {
        try {
            known->second = needed_for(target);
        } catch (const Error& error) {
            known->second = error;
        }
    }
    if (const auto* error = std::get_if<Error>(&known->second)) throw Error(*error);
    return std::get<std::set<Dependency>>(known->second).contains(dependency);
}

std::set<Dependency> MachineNeeds::needed_for(const build::Target& target) const {
    std::set<Dependency> needed;
    std::vector<Dependency> open = m_options.direct;
    while (!open.empty()) {
        const Dependency one = open.back();
        open.pop_back();
        const auto* kernel = m_lock.find(one);
        if (kernel == nullptr) {  // the lock is out of date
            for (const auto& locked : m_lock.kernels())
                needed.insert(locked.dependency);
            return needed;
        }
        if (!needed.insert(one).second) continue;
        const auto more = needs_of_builds(*kernel, target);
        open.insert(open.end(), more.begin(), more.end());
    }
    return needed;
}

std::vector<Dependency> MachineNeeds::needs_of_builds(const LockedKernel& kernel,
                                                      const build::Target& target) const {
    const RepoId& repo = kernel.dependency.repo;
    const hub::Tree tree = asked_tree(kernel, m_options.before_fetch, m_hub);
    const auto redirect = redirect_of(repo, kernel.commit, m_hub);
    if (redirect && m_lock.find(*redirect) != nullptr) return {*redirect};
    DownloadOptions options = m_options;
    options.targets = {target};
    auto builds = builds_that_fit(tree, repo.to_string(), options).builds;
    if (builds.empty()) {  // what one would need that fits, some of the others may say
        options.all_variants = true;
        builds = builds_that_fit(tree, repo.to_string(), options).builds;
    }
    std::vector<Dependency> needs;
    for (const auto& build : builds) {
        const std::string variant = build.variant.to_string();
        const auto metadata = asked_metadata(repo, kernel.commit, variant, m_options.before_fetch, m_hub);
        if (!metadata)
            throw Error(ErrorCode::verification,
                        name_of(kernel) + ": there is no build/" + variant + "/metadata.json");
        needs.insert(needs.end(), metadata->kernel_depends.begin(), metadata->kernel_depends.end());
    }
    return needs;
}

}  // namespace kernels::lock
