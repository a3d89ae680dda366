// kernels add and kernels remove: the project file's dependencies, changed in its text, and the lock with
// them.
#include <algorithm>
#include <filesystem>
#include <set>

#include "commands.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/text.hpp"
#include "kernels/lock/publishers.hpp"
#include "kernels/project/edit.hpp"
#include "locking.hpp"

namespace kernels::app {
namespace {

namespace fs = std::filesystem;

struct ProjectText {
    fs::path file;
    std::string text;
    std::vector<Dependency> dependencies;
    project::TrustPolicy trust;
};

// The project file to add to. A folder without one gets its section in pyproject.toml, else a kernels.toml.
ProjectText open_project(const Context& context) {
    const fs::path folder = context.arguments.value("--project").value_or(".");
    if (const auto project = project::find(folder)) {
        return {project->file, read_file(project->file),
                project->dependencies.value_or(std::vector<Dependency>{}), project->lock_trust()};
    }
    for (const char* name : {"pyproject.toml", "kernels.toml"}) {
        if (auto text = read_file_if_exists(folder / name)) return {folder / name, std::move(*text), {}, {}};
    }
    return {folder / "kernels.toml", "", {}, {}};
}

// "org/name", "org/name@3", "org/name@v3" or "org/name@main"; without a reference the newest version.
Dependency wanted(const std::string& argument, const project::TrustPolicy& trust, const hub::Hub& hub) {
    const auto at = argument.find('@');
    const RepoId repo = RepoId::parse(argument.substr(0, at));
    if (at + 1 == argument.size()) {
        throw Error(ErrorCode::usage, backquoted(argument) + ": there is no version or revision behind the @",
                    argument + "1 or " + argument + "main, say; without the @ it is the newest version");
    }
    if (at != std::string::npos) return {repo, Reference::parse(argument.substr(at + 1))};
    lock::require_trusted(repo, trust, hub);
    const auto versions = hub.versions(repo);
    if (versions.empty()) throw hub::no_versions_error(repo, hub.settings());
    return {repo, KernelVersion{versions.rbegin()->first}};
}

// What is to be added, each repository once.
std::vector<Dependency> all_wanted(const std::vector<std::string>& arguments,
                                   const project::TrustPolicy& trust, const hub::Hub& hub) {
    std::vector<Dependency> all;
    for (const auto& argument : arguments) {
        auto dependency = wanted(argument, trust, hub);
        const auto same = std::find_if(
            all.begin(), all.end(), [&](const Dependency& other) { return other.repo == dependency.repo; });
        if (same == all.end()) {
            all.push_back(std::move(dependency));
        } else if (*same != dependency) {
            throw Error(ErrorCode::usage,
                        dependency.repo.to_string() + " is named twice, as " + same->reference.to_string() +
                            " and as " + dependency.reference.to_string(),
                        "a project depends on one state of a repository; name that one");
        }
    }
    return all;
}

// Entries stay locked as they are, but for the repositories that were just named.
auto keep_others(const std::vector<RepoId>& named) {
    return [named](const lock::Lock& before) {
        std::vector<lock::LockedKernel> kept;
        for (const auto& kernel : before.kernels()) {
            if (std::find(named.begin(), named.end(), kernel.dependency.repo) == named.end())
                kept.push_back(kernel);
        }
        return lock::Lock(std::move(kept));
    };
}

// The lock first: the project file only says what could be locked. `said` is what changed in the project
// file, `unchanged` what was to be changed and is so already.
void finish(const Context& context, const ProjectText& before, const std::string& after, const LockPlan& plan,
            const std::vector<std::string>& said, const std::vector<std::string>& unchanged = {}) {
    // An editor knows nothing of locks.
    if (read_file_if_exists(before.file).value_or("") != before.text) {
        throw Error(ErrorCode::failed, before.file.string() + ": it was changed by another program meanwhile",
                    "nothing was written; run it again");
    }
    plan.write();
    if (after != before.text) rewrite_file(before.file, after);
    if (!context.json && !context.quiet) {
        for (const auto* lines : {&said, &unchanged}) {
            for (const auto& line : *lines)
                std::printf("%s: %s\n", before.file.c_str(), line.c_str());
        }
    }
    report_lock(context, plan, {{"project", before.file.string()}, {"project_changes", said}});
}

}  // namespace

int run_add(const Context& context) {
    const Session session(context);
    const auto held = hold_project(context, context.arguments.value("--project").value_or("."));
    const auto before = open_project(context);
    std::string text = before.text;
    std::vector<std::string> said;
    std::vector<std::string> unchanged;
    std::vector<RepoId> named;
    for (const auto& dependency : all_wanted(context.arguments.positional(), before.trust, session.hub())) {
        named.push_back(dependency.repo);
        const auto old = std::find_if(before.dependencies.begin(), before.dependencies.end(),
                                      [&](const Dependency& other) { return other.repo == dependency.repo; });
        if (old == before.dependencies.end()) {
            said.push_back("added " + dependency.to_string());
        } else if (*old != dependency) {
            said.push_back("changed " + dependency.repo.to_string() + " from " + old->reference.to_string() +
                           " to " + dependency.reference.to_string());
        } else {
            unchanged.push_back(dependency.to_string() + " is a dependency already");
            continue;
        }
        text = project::with_dependency(text, before.file, dependency);
        if (dependency.reference.version() == nullptr && before.file.filename() == "pyproject.toml")
            log::warning(before.file.string() +
                         ": the Python client reads versions only, so it cannot lock " +
                         dependency.to_string());
    }
    const auto project = project::parse(text, before.file);
    finish(context, before, text,
           plan_lock(context, project, keep_others(named), session.hub(), Present::readable), said,
           unchanged);
    return 0;
}

int run_remove(const Context& context) {
    const Session session(context);
    const auto held = hold_project(context, context.arguments.value("--project").value_or("."));
    const auto project_before = project::load(context.arguments.value("--project").value_or("."));
    const ProjectText before{project_before.file, read_file(project_before.file), {}, {}};
    std::string text = before.text;
    std::vector<std::string> said;
    std::set<RepoId> named;
    for (const auto& argument : context.arguments.positional()) {
        const RepoId repo = RepoId::parse(argument);
        if (!named.insert(repo).second) continue;
        text = project::without_dependency(text, before.file, repo);
        said.push_back("removed " + repo.to_string());
        for (const auto& entry : project_before.layers) {
            const auto* locked = std::get_if<project::LockedSource>(&entry.source);
            if (entry.repo == repo && locked != nullptr && !locked->file) {
                log::warning(entry.where.to_string() + ": the layer " + backquoted(entry.name) +
                             " still comes from " + repo.to_string());
            }
        }
    }
    const auto project = project::parse(text, before.file);
    const auto keep = [](const lock::Lock& lock) { return lock; };
    finish(context, before, text, plan_lock(context, project, keep, session.hub(), Present::readable), said);
    return 0;
}

}  // namespace kernels::app
