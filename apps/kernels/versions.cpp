// kernels versions: a kernel's versions, and which of their builds fit.
#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>

#include "commands.hpp"
#include "common/table.hpp"
#include "kernels/build/selection.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/parallel.hpp"
#include "kernels/lock/download.hpp"
#include "local_builds.hpp"
#include "targets.hpp"

namespace kernels::app {
namespace {

struct VersionBuilds {
    std::optional<std::int64_t> number;  ///< nothing for local builds whose metadata states none
    std::optional<Commit> commit;        ///< nothing for local builds
    std::vector<build::BuildVariant> variants;
    build::DeviceFitOf device_fit;
};

// A folder has no branches: which version a build is, its metadata says.
std::vector<VersionBuilds> versions_of(const std::vector<LocalBuild>& builds) {
    std::map<std::optional<std::int64_t>, VersionBuilds> by_number;
    for (const auto& build : builds) {
        std::optional<std::int64_t> number;
        if (build.metadata) number = build.metadata->version;
        auto& version =
            by_number.try_emplace(number, VersionBuilds{number, {}, {}, fit_of(builds)}).first->second;
        version.variants.push_back(build.variant);
    }
    std::vector<VersionBuilds> versions;
    for (auto& [number, version] : by_number)
        versions.push_back(std::move(version));
    return versions;
}

std::vector<VersionBuilds> look_up(const RepoId& repo, const hub::Hub& hub) {
    const auto versions = hub.versions(repo);
    if (versions.empty() && hub.settings().offline) {
        throw Error(ErrorCode::network, repo.to_string() + ": offline, and the cache knows no version of it",
                    "run it without --offline once");
    }
    std::vector<Commit> commits;
    for (const auto& [number, ref] : versions)
        commits.push_back(ref.commit);
    auto trees = look_parallel(commits.size(), hub.settings().jobs,
                               [&](std::size_t i) { return hub.tree(repo, commits[i]); });
    std::vector<VersionBuilds> out;
    auto tree = trees.begin();
    for (const auto& [number, ref] : versions) {
        out.push_back({number, ref.commit, lock::variants_of((tree++)->get(), repo.to_string()),
                       lock::stated_fit(repo, ref.commit, hub)});
    }
    return out;
}

// The Python client's form: each build, the ones that fit first.
void print_version(const VersionBuilds& version, const build::Target& target) {
    std::printf("%s:\n\n", version.number ? ("Version " + std::to_string(*version.number)).c_str()
                                          : "Without a version");
    const auto selection = decide(version.variants, target, version.device_fit);
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

std::string cell(const build::Selection& selection) {
    if (selection.best() != nullptr) return selection.best()->to_string();
    const auto* first = selection.decisions.empty() ? nullptr : &selection.decisions.front();
    const bool by_device =
        first != nullptr && first->rejection && first->rejection->reason == build::Reason::device;
    return by_device ? "no device code" : "no build";
}

// Several targets: a row for each version, a column for each target, so that gaps show at a glance.
void print_table(const std::vector<VersionBuilds>& versions, const std::vector<build::Target>& targets) {
    std::vector<std::vector<std::string>> rows{{"version"}};
    for (const auto& target : targets)
        rows.front().push_back(target.to_string());
    for (const auto& version : versions) {
        rows.push_back({version.number ? "v" + std::to_string(*version.number) : "-"});
        for (const auto& target : targets) {
            const auto selection = decide(version.variants, target, version.device_fit);
            rows.back().push_back(cell(selection));
        }
    }
    print_rows(rows);
}

nlohmann::ordered_json to_json(const VersionBuilds& version, const std::vector<build::Target>& targets) {
    nlohmann::ordered_json document = {{"version", nullptr}, {"commit", nullptr}};
    if (version.number) document["version"] = *version.number;
    if (version.commit) document["commit"] = version.commit->to_string();
    document["targets"] = targets_to_json(version.variants, targets, version.device_fit);
    return document;
}

}  // namespace

int run_versions(const Context& context) {
    const std::string& name = context.arguments.positional().front();
    const auto local = local_folder(name);
    const auto targets = targets_from(context, context.arguments.value("--project").value_or("."));
    const Session session(context);
    const std::vector<LocalBuild> builds = local ? local_builds(*local) : std::vector<LocalBuild>{};
    if (local && builds.empty()) throw Error(ErrorCode::not_found, name + ": there are no builds in it");
    const auto versions = local ? versions_of(builds) : look_up(RepoId::parse(name), session.hub());
    if (context.json) {
        nlohmann::ordered_json list = nlohmann::ordered_json::array();
        for (const auto& version : versions)
            list.push_back(to_json(version, targets));
        print_json({{local ? "path" : "repo", local ? printed_path(*local) : name}, {"versions", list}});
    } else if (versions.empty()) {
        std::printf("Repository does not support kernel versions: %s\n", name.c_str());
    } else if (targets.size() > 1) {
        print_table(versions, targets);
    } else {
        for (const auto& version : versions)
            print_version(version, targets.front());
    }
    return 0;
}

}  // namespace kernels::app
