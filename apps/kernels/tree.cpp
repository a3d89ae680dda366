// kernels tree: which kernel needs which, and what they are locked to.
#include <cstdio>
#include <set>

#include "commands.hpp"
#include "kernels/core/parallel.hpp"
#include "kernels/core/text.hpp"
#include "kernels/lock/failures.hpp"
#include "kernels/lock/publishers.hpp"
#include "kernels/lock/redirect.hpp"
#include "kernels/lock/resolve.hpp"
#include "kernels/project/project.hpp"

namespace kernels::app {
namespace {

struct Needed {
    Dependency dependency;
    std::string why;  ///< "moved", or which builds need it when not all do
};

class LockTree {
  public:
    LockTree(const lock::Lock& lock, const project::TrustPolicy& trust, const hub::Hub& hub) : m_hub(hub) {
        const auto& kernels = lock.kernels();
        for (const auto& kernel : kernels)
            m_kernels.emplace(kernel.dependency, kernel.commit);
        auto needs = look_parallel(kernels.size(), hub.settings().jobs, [&](std::size_t i) {
            try {
                const RepoId& repo = kernels[i].dependency.repo;
                if (!hub.settings().offline && !lock::knows_needs(hub.cache(), kernels[i]))
                    lock::require_trusted(repo, trust, hub);
                return needs_of(repo, kernels[i].commit);
            } catch (const Error& error) {
                throw lock::explained(error, kernels[i], hub);
            }
        });
        for (std::size_t i = 0; i < kernels.size(); ++i)
            m_needs.emplace(kernels[i].dependency, needs[i].get());
    }

    /// The kernels that no other one needs.
    std::vector<Dependency> roots() const {
        std::set<Dependency> needed;
        for (const auto& [dependency, needs] : m_needs) {
            for (const auto& one : needs)
                needed.insert(one.dependency);
        }
        std::vector<Dependency> found;
        for (const auto& [dependency, commit] : m_kernels) {
            if (!needed.contains(dependency)) found.push_back(dependency);
        }
        return found;
    }

    /// With what the kernel needs, unless that was printed before: many ways lead to one kernel, and a lock
    /// that was written by hand may hold a cycle.
    void print(const Needed& node, const std::string& first, const std::string& rest) {
        const auto commit = m_kernels.find(node.dependency);
        const auto& needs = needs_of(node.dependency);
        const bool is_again = !m_shown.insert(node.dependency).second && !needs.empty();
        std::printf("%s%s %s%s%s\n", first.c_str(), node.dependency.to_string().c_str(),
                    commit == m_kernels.end() ? "(not locked)" : commit->second.brief().c_str(),
                    node.why.empty() ? "" : (" (" + node.why + ")").c_str(), is_again ? " (as above)" : "");
        if (is_again) return;
        for (std::size_t i = 0; i < needs.size(); ++i) {
            const bool last = i + 1 == needs.size();
            print(needs[i], rest + (last ? "└── " : "├── "), rest + (last ? "    " : "│   "));
        }
    }

    nlohmann::ordered_json to_json(const Needed& node) {
        const auto commit = m_kernels.find(node.dependency);
        auto document = commit == m_kernels.end()
                            ? nlohmann::ordered_json{{"repo", node.dependency.repo.to_string()},
                                                     {"reference", node.dependency.reference.to_string()},
                                                     {"commit", nullptr}}
                            : locked_to_json(lock::LockedKernel{node.dependency, commit->second, {}});
        if (!node.why.empty()) document["why"] = node.why;
        const auto& needs = needs_of(node.dependency);
        if (!m_shown.insert(node.dependency).second && !needs.empty()) {
            document["repeated"] = true;
            return document;
        }
        auto& list = document["depends"] = nlohmann::ordered_json::array();
        for (const auto& needed : needs)
            list.push_back(to_json(needed));
        return document;
    }

  private:
    const std::vector<Needed>& needs_of(const Dependency& dependency) const {
        static const std::vector<Needed> nothing;
        const auto found = m_needs.find(dependency);
        return found == m_needs.end() ? nothing : found->second;
    }

    std::vector<Needed> needs_of(const RepoId& repo, const Commit& commit) const {
        const auto found = lock::needs_of(repo, commit, m_hub);
        const auto builds = m_hub.tree(repo, commit).folders("build").size();
        std::vector<Needed> needs;
        if (found.moved_to) needs.push_back({*found.moved_to, "moved"});
        for (const auto& [dependency, variants] : found.depends) {
            if (dependency == found.moved_to) continue;
            needs.push_back(
                {dependency, variants.size() == builds ? "" : "needed by " + join(variants, ", ")});
        }
        return needs;
    }

    const hub::Hub& m_hub;
    std::map<Dependency, Commit> m_kernels;
    std::map<Dependency, std::vector<Needed>> m_needs;
    std::set<Dependency> m_shown;
};

}  // namespace

int run_tree(const Context& context) {
    const auto project = project::load(context.project_folder());
    // The project's own dependencies, needed by others or not; what else the lock holds comes behind them.
    std::vector<Dependency> roots = project.dependencies.value_or(std::vector<Dependency>{});
    const auto whole = lock::Lock::load(project.lock_file());
    const Session session(context);
    const auto lock = lock::pinned_by(whole, roots, project.lock_trust(), session.hub());
    LockTree tree(lock, project.lock_trust(), session.hub());
    for (const auto& root : tree.roots()) {
        if (std::find(roots.begin(), roots.end(), root) == roots.end()) roots.push_back(root);
    }
    if (context.json) {
        nlohmann::ordered_json list = nlohmann::ordered_json::array();
        for (const auto& root : roots)
            list.push_back(tree.to_json({root, ""}));
        print_json({{"file", project.lock_file().string()}, {"kernels", list}});
        return 0;
    }
    for (const auto& root : roots)
        tree.print({root, ""}, "", "");
    return 0;
}

}  // namespace kernels::app
