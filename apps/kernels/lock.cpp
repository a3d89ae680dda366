// kernels lock: the project file's dependencies, resolved to commits.
#include <algorithm>
#include <cstdio>

#include "commands.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/text.hpp"
#include "kernels/lock/download.hpp"
#include "kernels/lock/resolve.hpp"
#include "kernels/lock/sum_file.hpp"
#include "kernels/project/project.hpp"
#include "targets.hpp"

namespace kernels::app {
namespace {

// The entries of the lock file that may stay as they are.
lock::Lock entries_to_keep(const lock::Lock& before, const Context& context) {
    if (!context.arguments.has("--upgrade")) return before;
    const auto name = context.arguments.value("--upgrade");
    // A flag without a value arrives as "true".
    if (!name || name->find('/') == std::string::npos) return {};
    const RepoId repo = RepoId::parse(*name);
    if (before.find(repo) == nullptr) {
        std::vector<std::string> names;
        for (const auto& kernel : before.kernels())
            names.push_back(kernel.dependency.repo.to_string());
        throw Error(ErrorCode::not_found, repo.to_string() + ": it is not in kernels.lock",
                    did_you_mean(*name, names));
    }
    std::vector<lock::LockedKernel> kept;
    std::copy_if(before.kernels().begin(), before.kernels().end(), std::back_inserter(kept),
                 [&](const lock::LockedKernel& kernel) { return kernel.dependency.repo != repo; });
    return lock::Lock(std::move(kept));
}

// What kernels.sum becomes. Lines of commits that stay may not change: a commit's files never do.
std::string new_sums(const lock::Lock& lock, const std::optional<lock::SumFile>& before,
                     const std::filesystem::path& file, const hub::Hub& hub) {
    const auto sums = lock::sums_of(lock, hub);
    if (before) {
        auto changed = before->conflicts_with(sums);
        if (!changed.empty()) {
            throw Error(ErrorCode::verification,
                        file.string() + ": the hub lists other files than before for the same commit",
                        "find out why before you trust them; nothing was written", std::move(changed));
        }
    }
    return sums.to_text();
}

// With --target (or --torch): every locked kernel has a build for each of them, before anything is written.
void require_builds(const lock::Lock& lock, const Context& context, const std::filesystem::path& folder,
                    const hub::Hub& hub) {
    if (!context.arguments.has("--target") && !context.arguments.has("--torch")) return;
    const auto failures = lock::missing_builds(lock, targets_from(context, folder), hub);
    if (failures.size() == 1) throw Error(failures.front());
    if (failures.empty()) return;
    std::vector<std::string> details;
    for (const auto& failure : failures) {
        details.emplace_back(failure.what());
        for (const auto& line : failure.details())
            details.push_back("  " + line);
        details.push_back("  hint: " + failure.hint());
    }
    throw Error(ErrorCode::no_build, std::to_string(failures.size()) + " builds are missing", {},
                std::move(details));
}

void report(const Context& context, const std::filesystem::path& file, const lock::Lock& lock,
            const std::vector<std::string>& changes, bool written) {
    if (context.json) {
        nlohmann::ordered_json kernels = nlohmann::ordered_json::array();
        for (const auto& kernel : lock.kernels())
            kernels.push_back(to_json(kernel));
        print_json(
            {{"file", file.string()}, {"written", written}, {"kernels", kernels}, {"changes", changes}});
        return;
    }
    if (context.quiet) return;
    for (const auto& line : changes)
        std::puts(line.c_str());
    std::printf("%s: %zu %s, %s\n", file.c_str(), lock.kernels().size(),
                lock.kernels().size() == 1 ? "kernel" : "kernels", written ? "written" : "up to date");
}

}  // namespace

nlohmann::ordered_json to_json(const lock::LockedKernel& kernel) {
    const auto& reference = kernel.dependency.reference;
    nlohmann::ordered_json document = {{"repo", kernel.dependency.repo.to_string()}};
    if (const auto* version = reference.version()) {
        document["version"] = version->number;
    } else {
        document["revision"] = reference.revision()->name;
    }
    document["commit"] = kernel.commit.to_string();
    return document;
}

int run_lock(const Context& context) {
    const auto project = project::load(context.project_folder());
    const auto file = project.lock_file();
    const auto& dependencies = project.require_dependencies();
    const bool check = context.arguments.has("--check");
    const auto text = read_file_if_exists(file);
    // With --check a missing lock is the answer; load() says so.
    const lock::Lock before = check  ? lock::Lock::load(file)
                              : text ? lock::Lock::parse(*text, file.string())
                                     : lock::Lock();

    const auto sum_file = project.sum_file();
    const auto sums_before = lock::SumFile::load(sum_file);
    // The Python client writes no kernels.sum, so a project without one is not out of date.
    const bool wants_sums = !context.arguments.has("--no-sum") && (!check || sums_before);

    const Session session(context);
    const lock::Lock lock =
        lock::resolve({dependencies, project.trust, entries_to_keep(before, context)}, session.hub());
    const std::string bytes = lock.to_json();
    const std::string sums =
        wants_sums ? new_sums(lock, sums_before, sum_file, session.hub()) : std::string();
    auto changes = lock::describe_difference(before, lock);
    require_builds(lock, context, project.folder, session.hub());
    const bool differs = text != bytes;
    const bool sums_differ = wants_sums && (!sums_before || sums_before->to_text() != sums);
    if (check && !differs && sums_differ) {
        throw Error(ErrorCode::lock_stale, sum_file.string() + ": out of date", "run `kernels lock`");
    }
    if (check && differs) {
        if (changes.empty()) changes.emplace_back("the same commits, written differently");
        throw Error(ErrorCode::lock_stale, file.string() + ": out of date", "run `kernels lock`",
                    std::move(changes));
    }
    // The sums first: sums without a lock do no harm, a lock without its sums is refused by download.
    if (sums_differ) write_file(sum_file, sums);
    if (differs) write_file(file, bytes);
    if (!check && !wants_sums && sums_before) {
        std::filesystem::remove(sum_file);
        log::info(sum_file.string() + ": removed, as --no-sum says");
    }
    report(context, file, lock, changes, differs);
    return 0;
}

}  // namespace kernels::app
