// kernels versions: a kernel's versions, and which of their builds fit.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <iterator>
#include <map>
#include <optional>

#include "commands.hpp"
#include "common/table.hpp"
#include "kernels/build/selection.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/parallel.hpp"
#include "kernels/core/text.hpp"
#include "kernels/lock/download.hpp"
#include "kernels/lock/redirect.hpp"
#include "local_builds.hpp"
#include "targets.hpp"

namespace kernels::app {
namespace {

struct VersionBuilds {
    std::optional<std::int64_t> number;  ///< nothing for local builds whose metadata states none
    std::optional<Commit> commit;        ///< nothing for local builds
    std::vector<build::BuildVariant> variants;
    build::DeviceFitOf device_fit;
    std::optional<Dependency> moved_to = {};
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
    if (versions.empty() && hub.settings().offline) throw hub::no_versions_error(repo, hub.settings());
    std::vector<Commit> commits;
    for (const auto& [number, ref] : versions)
        commits.push_back(ref.commit);
    auto trees = look_parallel(commits.size(), hub.settings().jobs, [&](std::size_t i) {
        auto tree = hub.tree(repo, commits[i]);
        return std::pair(std::move(tree), lock::shown_redirect(repo, commits[i], hub));
    });
    std::vector<VersionBuilds> out;
    auto tree = trees.begin();
    for (const auto& [number, ref] : versions) {
        auto [files, moved_to] = (tree++)->get();
        out.push_back({number, ref.commit, lock::variants_of(files, repo.to_string()),
                       lock::fit_without_download(repo, ref.commit, hub), std::move(moved_to)});
    }
    return out;
}

// "v3"
std::string label(const VersionBuilds& version) {
    return version.number ? "v" + std::to_string(*version.number) : "-";
}

// The rest of the table, for what a version lacks. A folder's versions are one checkout and no choice.
OtherVersions others_than(const VersionBuilds& version, const std::vector<VersionBuilds>& versions) {
    if (!version.commit) return {};
    return [&] {
        std::vector<build::OtherVersion> others;
        for (auto other = versions.rbegin(); other != versions.rend(); ++other) {
            if (other->commit == version.commit || other->moved_to) continue;
            others.push_back({label(*other), other->variants,
                              other->device_fit ? build::if_known(other->device_fit) : nullptr});
        }
        return others;
    };
}

// The Python client's form: each build, the ones that fit first. With `suggest` what would help where none
// does, which it does not tell.
void print_version(const VersionBuilds& version, const build::Target& target, bool suggest,
                   const OtherVersions& others) {
    std::printf("%s:\n\n", version.number ? ("Version " + std::to_string(*version.number)).c_str()
                                          : "Without a version");
    if (version.moved_to) {
        std::printf("moved to %s\n", version.moved_to->to_string().c_str());
        return;
    }
    const auto selection = decide(version.variants, target, version.device_fit);
    for (const auto& decision : build::as_told(selection, target)) {
        const std::string& name = decision.variant.to_string();
        if (decision.rejection) {
            std::printf("%s: %s\n", name.c_str(), decision.rejection->text.c_str());
        } else {
            const bool best = selection.best() != nullptr && decision.variant == *selection.best();
            std::printf("%s compatible%s%s\n", name.c_str(), best ? ", preferred" : "",
                        decision.device_unknown ? ", code for the device not known" : " ✅");
        }
    }
    if (selection.decisions.empty()) std::puts("");
    if (!suggest) return;
    for (const auto& suggestion : suggestions_for(selection, target, version.device_fit, others))
        std::printf("  %s\n", suggestion.text.c_str());
}

std::string cell(const build::Selection& selection) {
    if (selection.best() != nullptr) {
        return selection.best()->to_string() +
               (selection.decisions.front().device_unknown ? " (device not known)" : "");
    }
    return selection.refused_for_device() ? "no device code" : "no build";
}

// Why a version has nothing for a target, by its nearest build, and what would help.
void print_gap(const VersionBuilds& version, const build::Target& target, const build::Selection& selection,
               const OtherVersions& others) {
    std::printf("\n%s, %s:\n", label(version).c_str(), target.to_string().c_str());
    const auto told = build::as_told(selection, target);
    const auto nearest = std::find_if(told.begin(), told.end(),
                                      [](const build::Decision& decision) { return !decision.accepted(); });
    if (nearest == told.end()) {
        std::puts("  it has no builds at all");
    } else {
        std::printf("  %s: %s\n", nearest->variant.to_string().c_str(), nearest->rejection->text.c_str());
    }
    for (const auto& suggestion : suggestions_for(selection, target, version.device_fit, others))
        std::printf("  %s\n", suggestion.text.c_str());
}

// What stands in every target, and what is left of each: "cpu=x86_64,os=linux" and "torch=2.13,cuda=12.8".
struct Headings {
    std::vector<std::string> common;
    std::vector<std::string> columns;
};

Headings headings_of(const std::vector<build::Target>& targets) {
    std::vector<std::vector<std::string>> parts;
    for (const auto& target : targets) {
        const std::string text = target.to_string();
        const auto views = split(text, ',');
        parts.emplace_back(views.begin(), views.end());
    }
    Headings out;
    const auto has = [](const std::vector<std::string>& list, const std::string& part) {
        return std::find(list.begin(), list.end(), part) != list.end();
    };
    std::copy_if(parts.front().begin(), parts.front().end(), std::back_inserter(out.common),
                 [&](const std::string& part) {
                     return std::all_of(parts.begin(), parts.end(),
                                        [&](const auto& of_target) { return has(of_target, part); });
                 });
    for (auto& of_target : parts) {
        std::erase_if(of_target, [&](const std::string& part) { return has(out.common, part); });
        out.columns.push_back(of_target.empty() ? join(out.common, ",") : join(of_target, ","));
    }
    return out;
}

// Several targets: a row for each version, a column for each target, so that gaps show at a glance; then what
// the targets share, and the reason for each gap.
void print_table(const std::vector<VersionBuilds>& versions, const std::vector<build::Target>& targets) {
    auto [common, columns] = headings_of(targets);
    std::vector<std::vector<std::string>> rows{{"version"}};
    std::move(columns.begin(), columns.end(), std::back_inserter(rows.front()));
    std::vector<std::function<void()>> gaps;
    for (const auto& version : versions) {
        rows.push_back({label(version)});
        for (const auto& target : targets) {
            if (version.moved_to) {
                rows.back().push_back("moved to " + version.moved_to->to_string());
                continue;
            }
            auto selection = decide(version.variants, target, version.device_fit);
            rows.back().push_back(cell(selection));
            if (selection.best() != nullptr) continue;
            gaps.emplace_back([&, selection = std::move(selection)] {
                print_gap(version, target, selection, others_than(version, versions));
            });
        }
    }
    print_rows(rows);
    if (!common.empty()) std::printf("each with %s\n", join(common, ",").c_str());
    for (const auto& print : gaps)
        print();
}

nlohmann::ordered_json to_json(const VersionBuilds& version, const std::vector<build::Target>& targets,
                               const OtherVersions& others) {
    nlohmann::ordered_json document = {{"version", nullptr}, {"commit", nullptr}};
    if (version.number) document["version"] = *version.number;
    if (version.commit) document["commit"] = version.commit->to_string();
    if (version.moved_to) document["moved_to"] = version.moved_to->to_string();
    document["targets"] = targets_to_json(version.variants, targets, version.device_fit, others);
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
    auto versions = local ? versions_of(builds) : look_up(RepoId::parse(name), session.hub());
    for (auto& version : versions)
        version.device_fit = unless_skipped(context, std::move(version.device_fit));
    if (context.json) {
        nlohmann::ordered_json list = nlohmann::ordered_json::array();
        for (const auto& version : versions)
            list.push_back(to_json(version, targets, others_than(version, versions)));
        print_json({{local ? "path" : "repo", local ? printed_path(*local) : name}, {"versions", list}});
    } else if (versions.empty()) {
        std::printf("Repository does not support kernel versions: %s\n", name.c_str());
    } else if (targets.size() > 1) {
        print_table(versions, targets);
    } else {
        for (const auto& version : versions)
            print_version(version, targets.front(), names_targets(context), others_than(version, versions));
    }
    return 0;
}

}  // namespace kernels::app
