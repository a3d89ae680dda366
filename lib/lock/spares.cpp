#include "spares.hpp"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "choose.hpp"
#include "kernels/core/parallel.hpp"
#include "kernels/core/text.hpp"
#include "kernels/lock/failures.hpp"
#include "kernels/lock/publishers.hpp"
#include "kernels/lock/redirect.hpp"
#include "kernels/lock/resolve.hpp"

namespace kernels::lock {
namespace {

using Edges = std::vector<Dependency> (Needs::*)() const;

std::set<Dependency> reached(std::vector<Dependency> open, Edges edges,
                             const std::map<Dependency, Needs>& needs, const Lock& lock) {
    std::set<Dependency> found;
    while (!open.empty()) {
        const Dependency one = open.back();
        open.pop_back();
        if (lock.find(one) == nullptr || !found.insert(one).second) continue;
        const auto known = needs.find(one);
        if (known == needs.end()) continue;
        const auto more = (known->second.*edges)();
        open.insert(open.end(), more.begin(), more.end());
    }
    return found;
}

}  // namespace

hub::Tree asked_tree(const LockedKernel& kernel, const BeforeFetch& before_fetch, const hub::Hub& hub) {
    const RepoId& repo = kernel.dependency.repo;
    ask_for_file(repo, kernel.commit, status_file, before_fetch, hub);  // where there is no listing, for that
    hub::Tree tree = hub.tree(repo, kernel.commit);
    ask_for_file(repo, kernel.commit, status_file, before_fetch, hub);
    return tree;
}

std::optional<Dependency> asked_redirect(const LockedKernel& kernel, const BeforeFetch& before_fetch,
                                         const hub::Hub& hub) {
    asked_tree(kernel, before_fetch, hub);
    return redirect_of(kernel.dependency.repo, kernel.commit, hub);
}

bool is_withdrawn(const Error& error) {
    return error.code() == ErrorCode::not_found || dynamic_cast<const UntrustedPublisher*>(&error) != nullptr;
}

bool is_out_of_reach(const Error& error, const hub::Hub& hub) {
    return is_withdrawn(error) || (hub.settings().offline && error.code() == ErrorCode::network);
}

bool Spares::note(const LockedKernel& kernel, const std::optional<Dependency>& redirect) {
    const bool has_moved = redirect && m_lock.find(*redirect) != nullptr;
    const std::lock_guard lock(m_mutex);
    if (has_moved) {
        m_moved.insert_or_assign(kernel.dependency, *redirect);
    } else {
        m_moved.erase(kernel.dependency);
    }
    m_needed.reset();
    return has_moved;
}

bool Spares::contains(const LockedKernel& kernel) {
    std::vector<std::string> path{kernel.dependency.to_string()};
    std::set<Dependency> seen{kernel.dependency};
    for (auto next = m_moved.find(kernel.dependency); next != m_moved.end();
         next = m_moved.find(next->second)) {
        path.push_back(next->second.to_string());
        if (!seen.insert(next->second).second) {
            if (!is_needed(kernel)) return true;
            throw Error(ErrorCode::failed, "kernels that lead back to each other: " + join(path, " -> "),
                        "ask the kernels' publishers");
        }
    }
    return path.size() > 1 || !is_needed(kernel);
}

bool Spares::is_needed(const LockedKernel& kernel) {
    if (m_moved.empty() || m_options.direct.empty()) return true;
    if (m_error) throw Error(*m_error);
    try {
        if (!m_needed) m_needed = needed();
    } catch (const Error& error) {
        m_error = error;
        throw;
    }
    return m_needed->contains(kernel.dependency);
}

std::set<Dependency> Spares::needed() const {
    const auto& kernels = m_lock.kernels();
    std::set<Dependency> everything;
    for (const auto& kernel : kernels)
        everything.insert(kernel.dependency);
    // A lock that is out of date does not say what else it is short of.
    const auto is_missing = [&](const Dependency& one) { return !everything.contains(one); };
    if (std::any_of(m_options.direct.begin(), m_options.direct.end(), is_missing)) return everything;
    auto looks = look_parallel(kernels.size(), m_hub.settings().jobs, [&](std::size_t i) {
        const LockedKernel& kernel = kernels[i];
        const RepoId& repo = kernel.dependency.repo;
        for (const auto& name : asked_tree(kernel, m_options.before_fetch, m_hub).folders("build"))
            ask_for_file(repo, kernel.commit, "build/" + name + "/metadata.json", m_options.before_fetch,
                         m_hub);
        Needs found = needs_of(repo, kernel.commit, m_hub);
        if (!m_moved.contains(kernel.dependency)) found.moved_to.reset();  // nobody can follow that
        return found;
    });
    std::map<Dependency, Needs> needs;
    std::map<Dependency, Error> unknown;
    for (std::size_t i = 0; i < kernels.size(); ++i) {
        try {
            needs.emplace(kernels[i].dependency, looks[i].get());
        } catch (const Error& error) {
            if (error.code() == ErrorCode::interrupted) throw;
            unknown.emplace(kernels[i].dependency, error);
        }
    }
    std::vector<Dependency> left_behind;
    for (const auto& [dependency, found] : needs) {
        if (!found.moved_to) continue;
        for (const auto& [needed, variants] : found.depends)
            left_behind.push_back(needed);
    }
    // What nothing left behind leads to is there for another reason, known or not.
    std::vector<Dependency> roots = m_options.direct;
    const auto led_to = reached(left_behind, &Needs::all, needs, m_lock);
    for (const auto& one : everything) {
        if (!led_to.contains(one)) roots.push_back(one);
    }
    auto needed = reached(roots, &Needs::natively, needs, m_lock);
    // Of one whose own needs are not known, each of the others may be one.
    for (const auto& [dependency, error] : unknown) {
        if (!needed.contains(dependency)) continue;
        if (!is_flaw(error) && !m_hub.settings().offline) throw Error(error);
        return everything;
    }
    for (const auto& one : needed) {
        const auto more = needs.at(one).natively();
        if (std::any_of(more.begin(), more.end(), is_missing)) return everything;
    }
    return needed;
}

}  // namespace kernels::lock
