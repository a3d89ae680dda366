// kernels outdated: which locked kernels have something newer.
#include <algorithm>
#include <cstdio>

#include "commands.hpp"
#include "kernels/core/parallel.hpp"
#include "kernels/core/text.hpp"
#include "kernels/project/project.hpp"
#include "locking.hpp"

namespace kernels::app {
namespace {

struct Newer {
    lock::LockedKernel locked;
    Commit now;                           ///< what the locked reference means now
    std::optional<std::int64_t> version;  ///< a newer version than the locked one

    bool is_direct;  ///< the project names it itself

    bool moved() const { return now != locked.commit; }
    bool any() const { return moved() || version.has_value(); }
    // What another kernel asks for is for that kernel's publisher to change.
    bool is_to_do() const { return moved() || (version.has_value() && is_direct); }
};

Newer look_up(const lock::LockedKernel& kernel, bool is_direct, const hub::Hub& hub) {
    const RepoId& repo = kernel.dependency.repo;
    Newer newer{kernel, kernel.commit, std::nullopt, is_direct};
    if (const auto* version = kernel.dependency.reference.version()) {
        const auto versions = hub.versions(repo);
        const auto same = versions.find(version->number);
        if (same != versions.end()) newer.now = same->second.commit;
        if (!versions.empty() && versions.rbegin()->first > version->number)
            newer.version = versions.rbegin()->first;
        return newer;
    }
    newer.now = hub.resolve(repo, kernel.dependency.reference);
    return newer;
}

void print(const Newer& newer) {
    std::string text = newer.locked.dependency.to_string();
    if (newer.moved()) {
        text += ": moved from " + newer.locked.commit.brief() + " to " + newer.now.brief();
    }
    if (newer.version) {
        text += (newer.moved() ? "; " : ": ") + std::string("v") + std::to_string(*newer.version) +
                " is the newest version";
        if (!newer.is_direct) text += ", but another kernel asks for this one";
    }
    std::puts(text.c_str());
}

// What would bring the newer ones. A version that a kernel asks for is its publisher's to change.
std::string advice(const std::vector<Newer>& all) {
    const bool any_moved =
        std::any_of(all.begin(), all.end(), [](const Newer& newer) { return newer.moved(); });
    const bool any_to_add = std::any_of(all.begin(), all.end(), [](const Newer& newer) {
        return newer.is_direct && newer.version.has_value();
    });
    std::vector<std::string> ways;
    if (any_moved) ways.emplace_back("`kernels lock --upgrade` takes what moved");
    if (any_to_add) ways.emplace_back("`kernels add REPO` takes the newest version");
    return ways.empty() ? "" : join(ways, ", ") + ".";
}

}  // namespace

int run_outdated(const Context& context) {
    const auto project = project::load(context.project_folder());
    const auto direct = project.dependencies.value_or(std::vector<Dependency>{});
    const auto whole = lock::Lock::load(project.lock_file());
    const Session session(context);
    const auto lock = lock::pinned_by(whole, direct, project.lock_trust(), session.hub());
    const bool offline = session.hub().settings().offline;
    if (offline) warn_of_offline();
    const auto& kernels = lock.kernels();
    auto pending = look_parallel(kernels.size(), session.hub().settings().jobs, [&](std::size_t i) {
        const bool is_direct = std::find(direct.begin(), direct.end(), kernels[i].dependency) != direct.end();
        return look_up(kernels[i], is_direct, session.hub());
    });
    std::vector<Newer> all;
    for (auto& newer : pending)
        all.push_back(newer.get());
    std::size_t outdated = 0;
    bool any_to_do = false;
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const auto& newer : all) {
        auto document = locked_to_json(newer.locked);
        document["newest_commit"] = newer.now.to_string();
        document["newest_version"] =
            newer.version ? nlohmann::ordered_json(*newer.version) : nlohmann::ordered_json(nullptr);
        document["outdated"] = newer.any();
        document["direct"] = newer.is_direct;
        list.push_back(std::move(document));
        if (!newer.any()) continue;
        ++outdated;
        any_to_do = any_to_do || newer.is_to_do();
        if (!context.json) print(newer);
    }
    if (context.json) {
        print_json({{"file", project.lock_file().string()}, {"offline", offline}, {"kernels", list}});
    } else if (outdated == 0 && !context.quiet) {
        std::printf("%s: %s, %s\n", project.lock_file().c_str(), counted(all.size(), "kernel").c_str(),
                    offline ? "nothing newer in the cache" : "all up to date");
    } else if (const auto text = advice(all); !text.empty() && !context.quiet) {
        std::puts(text.c_str());
    }
    return context.arguments.has("--check") && any_to_do ? exit_status(ErrorCode::lock_stale) : 0;
}

}  // namespace kernels::app
