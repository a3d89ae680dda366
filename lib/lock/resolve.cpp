#include "kernels/lock/resolve.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <type_traits>

#include "kernels/build/build_variant.hpp"
#include "kernels/build/metadata.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/parallel.hpp"
#include "kernels/core/text.hpp"
#include "kernels/hub/fetch.hpp"
#include "kernels/lock/failures.hpp"
#include "kernels/lock/publishers.hpp"
#include "kernels/lock/redirect.hpp"

namespace kernels::lock {
namespace {

constexpr std::size_t most_kernels = 1000;
constexpr std::size_t longest_path = 100;

struct Node {
    Commit commit;
    Needs needs;
};

std::string path_text(const std::vector<Dependency>& path) {
    std::vector<std::string> names;
    for (const auto& dependency : path)
        names.push_back(dependency.to_string());
    return join(names, " -> ");
}

class Resolver {
  public:
    Resolver(const ResolveOptions& options, const hub::Hub& hub) : m_options(options), m_hub(hub) {}

    Resolution run() {
        std::vector<Dependency> wave = m_options.dependencies;
        for (const auto& dependency : wave)
            m_paths.emplace(dependency, std::vector{dependency});
        while (!wave.empty()) {
            require_all_trusted(wave);
            wave = resolve_wave(wave, &Needs::natively);
        }
        for (const auto& dependency : m_options.dependencies) {
            std::vector<Dependency> path;
            refuse_cycles(dependency, path);
        }
        std::vector<Dependency> moved;
        for (const auto& [dependency, node] : m_nodes) {
            if (node.needs.moved_to) moved.push_back(dependency);
        }
        for (const auto& dependency : moved)
            add_left_behind(dependency);
        std::vector<LockedKernel> kernels;
        for (const auto& [dependency, node] : m_nodes)
            kernels.push_back({dependency, node.commit, {}});
        const Lock lock(std::move(kernels));
        return {lock, conflicts(lock)};
    }

  private:
    using Edges = std::vector<Dependency> (Needs::*)() const;

    // Looks at all kernels of a wave at the same time; gives what they depend on and is not known yet.
    // Nothing of any of them is fetched before the publishers of all are known to be trusted.
    std::vector<Dependency> resolve_wave(const std::vector<Dependency>& wave, Edges edges) {
        auto nodes = at_once(wave, [this](const Dependency& dependency) { return look_at(dependency); });
        for (std::size_t i = 0; i < wave.size(); ++i)
            m_nodes.insert_or_assign(wave[i], std::move(nodes[i]));
        return new_needs(wave, edges);
    }

    void require_all_trusted(const std::vector<Dependency>& wave) {
        at_once(wave, [this](const Dependency& dependency) {
            require_trusted(dependency.repo, m_options.trust, m_hub);
            return 0;
        });
    }

    std::vector<Dependency> new_needs(const std::vector<Dependency>& wave, Edges edges) {
        std::vector<Dependency> next;
        for (const auto& dependency : wave) {
            for (const auto& needed : (m_nodes.at(dependency).needs.*edges)()) {
                if (m_paths.contains(needed)) continue;
                auto path = m_paths.at(dependency);
                path.push_back(needed);
                require_bounded(path);
                m_paths.emplace(needed, std::move(path));
                next.push_back(needed);
            }
        }
        return next;
    }

    // What the Python client locks for a kernel that has moved. Nothing here needs it, so what is wrong with
    // it is told and no more.
    void add_left_behind(const Dependency& moved) {
        const auto nodes = m_nodes;
        const auto paths = m_paths;
        std::vector<Dependency> wave;
        bool asks_for_trust = false;
        try {
            wave = new_needs({moved}, &Needs::all);
            while (!wave.empty()) {
                asks_for_trust = true;
                require_all_trusted(wave);
                asks_for_trust = false;
                wave = resolve_wave(wave, &Needs::all);
            }
        } catch (const Error& error) {
            // What was locked once stays locked, and wrong bytes say nothing about what was published.
            const bool was_locked = std::any_of(wave.begin(), wave.end(), [&](const Dependency& one) {
                return m_options.keep.find(one) != nullptr;
            });
            const bool is_untrusted = asks_for_trust && error.code() == ErrorCode::verification;
            const bool may_be_left_out = error.code() == ErrorCode::not_found || is_untrusted;
            if (may_be_left_out && was_locked) {
                throw error.reworded(std::string(error.what()) + "; only builds that " + moved.to_string() +
                                         " left behind need it",
                                     "`kernels lock --upgrade` locks without it");
            }
            if (!may_be_left_out) throw;
            m_nodes = nodes;
            m_paths = paths;
            log::warning(moved.to_string() +
                         ": it has moved, and what the builds that it left behind need is not locked: " +
                         error.what());
        }
    }

    // Made-up trees may be endless, real ones are small.
    void require_bounded(const std::vector<Dependency>& path) const {
        const bool is_deep = path.size() > longest_path;
        if (!is_deep && m_paths.size() < most_kernels) return;
        throw Error(
            ErrorCode::failed,
            path.front().to_string() + ": " +
                (is_deep ? "it leads to a chain of more than " + std::to_string(longest_path) + " kernels"
                         : "with it more than " + std::to_string(most_kernels) + " kernels are needed") +
                ", the last one " + path.back().to_string(),
            "ask the kernels' publishers: no tree of dependencies is that large");
    }

    // What `look` gives for each kernel of a wave, several at the same time; throws the first error, with its
    // kernels and the path that led to it.
    template <typename Look>
    auto at_once(const std::vector<Dependency>& wave, const Look& look)
        -> std::vector<std::invoke_result_t<const Look&, const Dependency&>> {
        using Answer = std::invoke_result_t<const Look&, const Dependency&>;
        auto pending =
            look_parallel(wave.size(), m_hub.settings().jobs, [&](std::size_t i) { return look(wave[i]); });
        std::vector<Answer> answers;
        std::vector<std::pair<Dependency, Error>> errors;
        std::exception_ptr other;
        for (std::size_t i = 0; i < wave.size(); ++i) {
            try {
                answers.push_back(pending[i].get());
            } catch (const Error& error) {
                errors.emplace_back(wave[i], error);
            } catch (...) {
                other = std::current_exception();
            }
        }
        if (other) std::rethrow_exception(other);
        if (!errors.empty()) throw with_path(grouped(errors).front());
        return answers;
    }

    Error with_path(const Failure& failure) const {
        const auto& path = m_paths.at(failure.kernels.front());
        if (path.size() < 2) return failure.error;
        return failure.error.reworded(std::string(failure.error.what()) + " (needed by " + path_text(path) +
                                      ")");
    }

    Node look_at(const Dependency& dependency) const {
        const auto* kept = m_options.keep.find(dependency);
        if (kept == nullptr) return look_at(dependency, m_hub.resolve(dependency.repo, dependency.reference));
        try {
            return look_at(dependency, kept->commit);
        } catch (const Error& error) {
            throw explained(error, *kept, m_hub);
        }
    }

    Node look_at(const Dependency& dependency, const Commit& commit) const {
        renew_useless_listing(dependency.repo, commit, m_hub);
        Node node{commit, needs_of(dependency.repo, commit, m_hub)};
        if (node.needs.moved_to) {
            log::warning(dependency.to_string() + ": moved to " + node.needs.moved_to->to_string());
        } else if (m_hub.tree(dependency.repo, commit).below("build").empty()) {
            throw Error(ErrorCode::not_found, dependency.to_string() + ": there are no builds in it",
                        "name a version or revision that has some: `kernels versions " +
                            dependency.repo.to_string() + "` lists what there is");
        }
        return node;
    }

    void refuse_cycles(const Dependency& dependency, std::vector<Dependency>& path) {
        const bool again = std::find(path.begin(), path.end(), dependency) != path.end();
        path.push_back(dependency);
        if (again) throw Error(ErrorCode::failed, "kernels that lead back to each other: " + path_text(path));
        if (m_acyclic.contains(dependency)) {
            path.pop_back();
            return;
        }
        for (const auto& needed : m_nodes.at(dependency).needs.natively())
            refuse_cycles(needed, path);
        path.pop_back();
        m_acyclic.insert(dependency);
    }

    // Kernels of a tree may need different states of one repository. As for the Python client that is no
    // error: each kernel is loaded with the state that it names, and the lock has all of them. Only a project
    // that names one itself may get another than it thinks.
    std::vector<Conflict> conflicts(const Lock& lock) const {
        std::vector<Conflict> found;
        const auto& kernels = lock.kernels();
        for (auto begin = kernels.begin(); begin != kernels.end();) {
            const RepoId& repo = begin->dependency.repo;
            const auto end = std::find_if(begin, kernels.end(),
                                          [&](const auto& kernel) { return kernel.dependency.repo != repo; });
            const bool differ =
                std::any_of(begin, end, [&](const auto& kernel) { return kernel.commit != begin->commit; });
            if (differ) {
                Conflict conflict{repo, {}};
                for (auto kernel = begin; kernel != end; ++kernel)
                    conflict.states.push_back({*kernel, m_paths.at(kernel->dependency)});
                warn_of(conflict);
                found.push_back(std::move(conflict));
            }
            begin = end;
        }
        return found;
    }

    static void warn_of(const Conflict& conflict) {
        std::vector<std::string> states;
        bool is_hidden = false;
        for (const auto& [kernel, path] : conflict.states) {
            const bool is_direct = path.size() == 1;
            is_hidden = is_hidden || (is_direct && !states.empty());
            states.push_back(kernel.dependency.reference.describe() + " (needed by " +
                             (is_direct ? "the project" : path_text(path)) + ")");
        }
        log::warning(conflict.repo.to_string() +
                     ": different states of it are needed, and each is locked: " + join(states, ", ") +
                     (is_hidden ? "; a layer that names no version gets " +
                                      conflict.states.front().kernel.dependency.reference.describe() +
                                      ", and so does Python's load_kernel, which can name none"
                                : ""));
    }

    const ResolveOptions& m_options;
    const hub::Hub& m_hub;
    std::map<Dependency, Node> m_nodes;
    std::map<Dependency, std::vector<Dependency>> m_paths;  // how each was reached
    std::set<Dependency> m_acyclic;
};

}  // namespace

void renew_useless_listing(const RepoId& repo, const Commit& commit, const hub::Hub& hub) {
    const hub::Tree tree = hub.tree(repo, commit);
    if (tree.folders("build").empty() && tree.find(status_file) == nullptr) hub.renew_tree(repo, commit);
}

namespace {

// `flawed` is told why a build's metadata cannot be had or read; it may throw that.
KernelDepends depends_of(const RepoId& repo, const Commit& commit, const hub::Hub& hub,
                         const std::function<void(const Error&)>& flawed) {
    const hub::Tree tree = hub.tree(repo, commit);
    std::vector<hub::FileRequest> wanted;
    for (const auto& name : tree.folders("build")) {
        if (!build::BuildVariant::try_parse(name)) {
            log::warning(repo.to_string() + ": build/" + name + " is no build variant and was left out");
            continue;
        }
        const std::string path = "build/" + name + "/metadata.json";
        const auto* entry = tree.find(path);
        if (entry == nullptr) {
            flawed(Error(
                ErrorCode::not_found, repo.to_string() + "@" + commit.to_string() + ": there is no " + path,
                "the build is older than kernels 0.11 or broken; use a newer version of the kernel"));
            continue;
        }
        try {
            hub::require_small(repo, *entry);
            wanted.push_back({repo, commit, *entry});
        } catch (const Error& error) {
            flawed(error);
        }
    }
    KernelDepends depends;
    for (const auto& file : hub::fetch(wanted, hub.settings(), hub.http(), hub.cache())) {
        try {
            const auto metadata = build::Metadata::parse(read_file(file.path),
                                                         repo.to_string() + ": " + file.request.entry.path);
            const std::string variant(split(file.request.entry.path, '/')[1]);
            for (const auto& needed : metadata.kernel_depends)
                depends[needed].push_back(variant);
        } catch (const Error& error) {
            if (!is_flaw(error)) throw;
            flawed(error);
        }
    }
    return depends;
}

}  // namespace

KernelDepends kernel_depends(const RepoId& repo, const Commit& commit, const hub::Hub& hub) {
    return depends_of(repo, commit, hub, [](const Error& error) { throw Error(error); });
}

std::vector<Dependency> Needs::natively() const {
    return moved_to ? std::vector{*moved_to} : all();
}

std::vector<Dependency> Needs::all() const {
    std::vector<Dependency> needed;
    for (const auto& [dependency, variants] : depends)
        needed.push_back(dependency);
    if (moved_to && !depends.contains(*moved_to)) needed.push_back(*moved_to);
    return needed;
}

Needs needs_of(const RepoId& repo, const Commit& commit, const hub::Hub& hub) {
    Needs needs{{}, redirect_of(repo, commit, hub)};
    needs.depends = depends_of(repo, commit, hub, [&](const Error& error) {
        if (!needs.moved_to) throw Error(error);
        log::warning(std::string(error.what()) + "; it has moved, so that build is not looked at");
    });
    return needs;
}

Resolution resolve(const ResolveOptions& options, const hub::Hub& hub) {
    return Resolver(options, hub).run();
}

}  // namespace kernels::lock
