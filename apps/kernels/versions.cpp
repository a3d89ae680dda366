// kernels versions: a kernel's versions, and which of their builds fit.
#include <cstdio>
#include <future>

#include "commands.hpp"
#include "kernels/build/environment.hpp"
#include "kernels/build/selection.hpp"
#include "kernels/core/log.hpp"
#include "kernels/lock/download.hpp"

namespace kernels::app {
namespace {

struct VersionBuilds {
    std::int64_t number;
    Commit commit;
    std::vector<build::BuildVariant> variants;
};

std::vector<VersionBuilds> look_up(const RepoId& repo, const hub::Hub& hub) {
    const auto versions = hub.versions(repo);
    if (versions.empty() && hub.settings().offline) {
        throw Error(ErrorCode::network, repo.to_string() + ": offline, and the cache knows no version of it",
                    "run it without --offline once");
    }
    std::vector<std::future<hub::Tree>> trees;
    for (const auto& [number, ref] : versions) {
        trees.push_back(std::async(std::launch::async,
                                   [&hub, &repo, commit = ref.commit] { return hub.tree(repo, commit); }));
    }
    std::vector<VersionBuilds> out;
    auto tree = trees.begin();
    for (const auto& [number, ref] : versions) {
        out.push_back({number, ref.commit, lock::variants_of((tree++)->get(), repo.to_string())});
    }
    return out;
}

std::vector<build::Target> targets_from(const Context& context) {
    std::vector<build::Target> targets;
    for (const auto& spec : context.arguments.values("--target"))
        targets.push_back(build::Target::parse(spec));
    if (targets.empty()) {
        const auto folder = context.arguments.value("--project").value_or(".");
        targets.push_back(build::detect({context.arguments.value("--torch"), folder}).target);
    }
    return targets;
}

// The Python client's form: each build, the ones that fit first.
void print_version(const VersionBuilds& version, const build::Target& target) {
    std::printf("Version %lld:\n\n", static_cast<long long>(version.number));
    const auto selection = build::select(version.variants, target);
    for (const auto& decision : selection.decisions) {
        const std::string& name = decision.variant.to_string();
        if (decision.rejection) {
            std::printf("%s: %s\n", name.c_str(), decision.rejection->text.c_str());
        } else {
            const bool best = &decision.variant == selection.best();
            std::printf("%s compatible%s ✅\n", name.c_str(), best ? ", preferred" : "");
        }
    }
    if (selection.decisions.empty()) std::puts("");
}

// Several targets: a row for each version and target.
void print_table(const std::vector<VersionBuilds>& versions, const std::vector<build::Target>& targets) {
    for (const auto& version : versions) {
        for (const auto& target : targets) {
            const auto selection = build::select(version.variants, target);
            std::printf("v%-3lld %-60s %s\n", static_cast<long long>(version.number),
                        target.to_string().c_str(),
                        selection.best() == nullptr ? "no build" : selection.best()->to_string().c_str());
        }
    }
}

nlohmann::ordered_json to_json(const VersionBuilds& version, const std::vector<build::Target>& targets) {
    nlohmann::ordered_json document = {{"version", version.number}, {"commit", version.commit.to_string()}};
    auto& list = document["targets"] = nlohmann::ordered_json::array();
    for (const auto& target : targets) {
        const auto selection = build::select(version.variants, target);
        nlohmann::ordered_json builds = nlohmann::ordered_json::array();
        for (const auto& decision : selection.decisions) {
            nlohmann::ordered_json build = {{"variant", decision.variant.to_string()},
                                            {"fits", decision.accepted()}};
            if (decision.rejection) {
                build["reason"] = build::to_string(decision.rejection->reason);
                build["text"] = decision.rejection->text;
            }
            builds.push_back(std::move(build));
        }
        nlohmann::ordered_json entry = {
            {"target", target.to_string()}, {"preferred", nullptr}, {"builds", builds}};
        if (selection.best() != nullptr) entry["preferred"] = selection.best()->to_string();
        list.push_back(std::move(entry));
    }
    return document;
}

}  // namespace

int run_versions(const Context& context) {
    const RepoId repo = RepoId::parse(context.arguments.positional().front());
    const auto targets = targets_from(context);
    const Session session(context);
    const auto versions = look_up(repo, session.hub());
    if (context.json) {
        nlohmann::ordered_json list = nlohmann::ordered_json::array();
        for (const auto& version : versions)
            list.push_back(to_json(version, targets));
        print_json({{"repo", repo.to_string()}, {"versions", list}});
    } else if (versions.empty()) {
        std::printf("%s: it has no versions, only revisions\n", repo.to_string().c_str());
    } else if (targets.size() > 1) {
        print_table(versions, targets);
    } else {
        for (const auto& version : versions)
            print_version(version, targets.front());
    }
    return 0;
}

}  // namespace kernels::app
