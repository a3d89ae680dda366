// kernels lock: the project file's dependencies, resolved to commits.
#include <algorithm>
#include <cstdio>

#include "commands.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"
#include "kernels/lock/resolve.hpp"
#include "kernels/project/project.hpp"

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

    const Session session(context);
    const lock::Lock lock =
        lock::resolve({dependencies, project.trust, entries_to_keep(before, context)}, session.hub());
    const std::string bytes = lock.to_json();
    auto changes = lock::describe_difference(before, lock);
    const bool differs = text != bytes;
    if (check && differs) {
        if (changes.empty()) changes.emplace_back("the same commits, written differently");
        throw Error(ErrorCode::lock_stale, file.string() + ": out of date", "run `kernels lock`",
                    std::move(changes));
    }
    if (differs) write_file(file, bytes);
    report(context, file, lock, changes, differs);
    return 0;
}

}  // namespace kernels::app
