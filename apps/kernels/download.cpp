// kernels download: the builds of the locked kernels, into the cache.
#include "kernels/lock/download.hpp"

#include <cstdio>
#include <set>
#include <span>

#include "commands.hpp"
#include "common/progress.hpp"
#include "common/remedies.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"
#include "kernels/lock/failures.hpp"
#include "kernels/lock/output.hpp"
#include "kernels/lock/publishers.hpp"
#include "kernels/lock/resolve.hpp"
#include "kernels/lock/sum_file.hpp"
#include "kernels/project/project.hpp"
#include "targets.hpp"

namespace kernels::app {
namespace {

struct Locked {
    std::filesystem::path folder;
    lock::Lock lock;
    std::optional<project::Project> project;
};

// The lock beside the project file; a folder that holds only a lock will do.
Locked load_lock(const Context& context) {
    Locked found{context.project_folder(), {}, {}};
    std::error_code ignored;
    if (!context.arguments.has("--locked") &&
        std::filesystem::exists(found.folder / "kernels.lock", ignored)) {
        // A project file further up says nothing about this lock.
        auto project = project::find(found.folder);
        if (project && std::filesystem::equivalent(project->folder, found.folder, ignored))
            found.project = std::move(project);
    } else {
        found.project = project::load(found.folder);
        found.folder = found.project->folder;
    }
    found.lock = lock::Lock::load(found.folder / "kernels.lock");
    return found;
}

// With --locked: the lock is what `kernels lock` would write, as far as it can be told without asking where
// the branches are now.
void require_covered(const Context& context, const Locked& locked, const hub::Hub& filling) {
    const auto& dependencies = locked.project->require_dependencies();
    // Nothing where the cache that is used for it cannot be written: it may be complete for this machine.
    const auto compared = [&](const hub::Hub& hub) -> std::optional<std::vector<std::string>> {
        try {
            return lock::uncovered(locked.lock, dependencies, locked.project->lock_trust(), hub);
        } catch (const Error& error) {
            if (!lock::blames_cache(error)) throw;
            log::debug(error.what());
            return std::nullopt;
        }
    };
    std::optional<std::vector<std::string>> told;
    if (filling.cache().is_writable()) told = compared(filling);
    if (!told) told = compared(Session(context, CacheUse::reads).hub());
    if (!told) {
        log::warning(
            "neither the cache nor the folder for temporary files can be written, so what the locked kernels "
            "need was not compared with the lock");
        told = lock::missing_from(locked.lock, dependencies);
    }
    if (told->empty()) return;
    throw Error(ErrorCode::lock_stale,
                (locked.folder / "kernels.lock").string() + ": it does not cover the project file exactly",
                "run `kernels lock`", std::move(*told));
}

lock::DownloadOptions options_from(const Context& context) {
    lock::DownloadOptions options;
    options.check_device = !context.arguments.has("--no-device-check");
    options.all_variants = context.arguments.has("--all-variants");
    if (options.all_variants && names_targets(context)) {
        throw Error(ErrorCode::usage,
                    "--all-variants takes every build, so there is nothing to choose by --target or --torch");
    }
    if (options.all_variants) return options;
    options.targets = targets_from(context, context.project_folder());
    return options;
}

std::uint64_t transferred(const lock::DownloadedBuild& build) {
    std::uint64_t bytes = 0;
    for (const auto& file : build.files)
        bytes += file.transferred;
    return bytes;
}

// What is no warning goes below the build's line (see report).
void warn_of_remarks(const lock::DownloadResult& result) {
    for (const auto& build : result.builds) {
        for (const auto& remark : build.remarks) {
            if (remark.is_warning) build::tell(std::span(&remark, 1), build.describe());
        }
    }
}

void report(const Context& context, const lock::DownloadResult& result, const hub::Settings& settings) {
    nlohmann::ordered_json builds = nlohmann::ordered_json::array();
    for (const auto& build : result.builds) {
        if (!context.json) {
            if (context.quiet) continue;
            const auto bytes = transferred(build);
            std::printf("%s %s %s %s\n", build.kernel.dependency.to_string().c_str(),
                        build.kernel.commit.brief().c_str(), build.variant.to_string().c_str(),
                        ((bytes == 0 ? "complete" : "downloaded " + human_size(bytes)) +
                         (build.was_left_behind ? " (moved: for Python, which does not follow it)" : ""))
                            .c_str());
            for (const auto& remark : build.remarks) {
                if (!remark.is_warning) std::printf("  %s\n", printable(remark.text).c_str());
            }
            continue;
        }
        auto document = locked_to_json(build.kernel);
        document["variant"] = build.variant.to_string();
        if (build.was_left_behind) document["moved"] = true;
        document["folder"] = build.folder.string();
        auto& files = document["files"] = nlohmann::ordered_json::array();
        for (const auto& file : build.files) {
            const auto& entry = file.request.entry;
            files.push_back({{"path", entry.path},
                             {"size", entry.size},
                             {entry.lfs_sha256 ? "sha256" : "git-blob-sha1", entry.etag()},
                             {"url", hub::printable_url(hub::file_url(settings, file.request))},
                             {"transferred", file.transferred},
                             {"file", file.path.string()}});
        }
        auto& remarks = document["remarks"] = nlohmann::ordered_json::array();
        for (const auto& [kind, text, is_warning] : build.remarks)
            remarks.push_back({{"kind", build::to_string(kind)}, {"warning", is_warning}, {"text", text}});
        builds.push_back(std::move(document));
    }
    if (context.json) {
        print_json({{"endpoint", hub::printable_url(settings.endpoint)},
                    {"cache", settings.cache.string()},
                    {"builds", builds}});
    }
}

[[noreturn]] void fail(const lock::DownloadResult& result, const Arguments& arguments) {
    std::vector<std::pair<Dependency, Error>> failed;
    std::set<Dependency> failed_kernels;
    for (const auto& [kernel, error] : result.failures) {
        failed.emplace_back(kernel.dependency, error);
        failed_kernels.insert(kernel.dependency);
    }
    std::set<Dependency> kernels = failed_kernels;
    for (const auto& build : result.builds)
        kernels.insert(build.kernel.dependency);
    const auto failures = lock::grouped(failed);
    if (failures.size() == 1) throw Error(failures.front().error);
    std::vector<std::string> details;
    std::vector<Error> causes;
    ErrorCode gravest = failures.front().error.code();
    for (const auto& [names, error] : failures) {
        causes.push_back(error);
        const auto lines = lines_of(error, arguments);
        details.insert(details.end(), lines.begin(), lines.end());
        // A failed verification must not hide behind a hub that was down.
        if (gravest != ErrorCode::verification &&
            (error.code() == ErrorCode::verification || exit_status(error.code()) > exit_status(gravest))) {
            gravest = error.code();
        }
    }
    // What would help one kernel is told below it, and helps no other.
    throw Error(gravest,
                std::to_string(failed_kernels.size()) + " of " + counted(kernels.size(), "kernel") +
                    " could not be downloaded",
                {}, std::move(details))
        .with_causes(std::move(causes));
}

}  // namespace

int run_download(const Context& context) {
    const Locked locked = load_lock(context);
    const auto& project = locked.project;
    auto options = options_from(context);
    std::optional<lock::SumFile> sums;
    if (!context.arguments.has("--no-sum")) sums = lock::SumFile::load(locked.folder / "kernels.sum");
    if (sums) options.sums = &*sums;
    const Session session(context, CacheUse::fills);
    if (context.arguments.has("--locked")) require_covered(context, locked, session.hub());
    const auto& lock = locked.lock;
    if (project && project->dependencies) options.direct = named_in(*project, lock);
    const auto trust = project ? project->lock_trust() : project::TrustPolicy{};
    options.before_fetch = [&](const RepoId& repo) { lock::require_trusted(repo, trust, session.hub()); };
    lock::DownloadResult result;
    {
        const auto progress = make_progress(context);
        const auto output = context.arguments.value("--output");
        result = output
                     ? lock::download_into(expand_user(*output), lock, options, session.hub(), progress.get())
                     : lock::download(lock, options, session.hub(), progress.get());
    }
    warn_of_remarks(result);
    // A failure is a document of its own: what did arrive is then found by the next run.
    if (result.failures.empty() || !context.json) report(context, result, session.hub().settings());
    if (!result.failures.empty()) fail(result, context.arguments);
    return 0;
}

}  // namespace kernels::app
