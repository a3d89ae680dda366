// kernels outdated: which locked kernels have something newer.
#include <cstdio>
#include <future>

#include "commands.hpp"
#include "kernels/project/project.hpp"

namespace kernels::app {
namespace {

struct Newer {
    lock::LockedKernel locked;
    Commit now;                           ///< what the locked reference means now
    std::optional<std::int64_t> version;  ///< a newer version than the locked one

    bool moved() const { return now != locked.commit; }
    bool any() const { return moved() || version.has_value(); }
};

Newer look_up(const lock::LockedKernel& kernel, const hub::Hub& hub) {
    const RepoId& repo = kernel.dependency.repo;
    Newer newer{kernel, kernel.commit, std::nullopt};
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
        text += ": moved from " + newer.locked.commit.to_string().substr(0, 12) + " to " +
                newer.now.to_string().substr(0, 12);
    }
    if (newer.version) {
        text += (newer.moved() ? "; " : ": ") + std::string("v") + std::to_string(*newer.version) +
                " is the newest version";
    }
    std::puts(text.c_str());
}

}  // namespace

int run_outdated(const Context& context) {
    const auto project = project::load(context.project_folder());
    const auto lock = lock::Lock::load(project.lock_file());
    const Session session(context);
    std::vector<std::future<Newer>> pending;
    for (const auto& kernel : lock.kernels()) {
        pending.push_back(std::async(std::launch::async, [&] { return look_up(kernel, session.hub()); }));
    }
    std::vector<Newer> all;
    for (auto& newer : pending)
        all.push_back(newer.get());
    std::size_t outdated = 0;
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const auto& newer : all) {
        auto document = to_json(newer.locked);
        document["newest_commit"] = newer.now.to_string();
        document["newest_version"] =
            newer.version ? nlohmann::ordered_json(*newer.version) : nlohmann::ordered_json(nullptr);
        document["outdated"] = newer.any();
        list.push_back(std::move(document));
        if (!newer.any()) continue;
        ++outdated;
        if (!context.json) print(newer);
    }
    if (context.json) {
        print_json({{"file", project.lock_file().string()}, {"kernels", list}});
    } else if (outdated == 0 && !context.quiet) {
        std::printf("%s: %zu kernels, all up to date\n", project.lock_file().c_str(), all.size());
    } else if (!context.quiet) {
        std::puts("`kernels lock --upgrade` takes what moved, `kernels add REPO` the newest version.");
    }
    return context.arguments.has("--check") && outdated > 0 ? exit_status(ErrorCode::lock_stale) : 0;
}

}  // namespace kernels::app
