// kernels lock: the project file's dependencies, resolved to commits.
#include <algorithm>

#include "commands.hpp"
#include "kernels/core/text.hpp"
#include "locking.hpp"

namespace kernels::app {
namespace {

// REPO of --upgrade REPO. A flag without a value arrives as "true".
std::optional<std::string> upgraded_repo(const Context& context) {
    auto name = context.arguments.value("--upgrade");
    if (name && name->find('/') == std::string::npos) name.reset();
    return name;
}

// The entries of the lock file that may stay as they are.
lock::Lock entries_to_keep(const lock::Lock& before, const Context& context) {
    if (!context.arguments.has("--upgrade")) return before;
    const auto name = upgraded_repo(context);
    if (!name) return {};
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

std::string command_without_check(const Context& context) {
    if (!context.arguments.has("--upgrade")) return "run `kernels lock`";
    const auto name = upgraded_repo(context);
    return "run `kernels lock --upgrade" + (name ? " " + *name : std::string()) + "`";
}

}  // namespace

int run_lock(const Context& context) {
    const bool check = context.arguments.has("--check");
    const auto held = check ? nullptr : hold_project(context, context.project_folder());
    const auto project = project::load(context.project_folder());
    project.require_dependencies();
    const Session session(context);
    if (context.arguments.has("--upgrade") && session.hub().settings().offline) warn_of_offline();
    const auto keep = [&](const lock::Lock& before) { return entries_to_keep(before, context); };
    // Where one repository is to move, the others may not.
    const Present present = check                                ? Present::complete
                            : upgraded_repo(context).has_value() ? Present::readable
                                                                 : Present::anything;
    auto plan = plan_lock(context, project, keep, session.hub(), present);
    if (check && plan.differs) {
        if (plan.changes.empty()) plan.changes.emplace_back("the same commits, written differently");
        throw Error(ErrorCode::lock_stale, plan.file.string() + ": out of date",
                    command_without_check(context), std::move(plan.changes));
    }
    if (check && plan.sums_differ) {
        throw Error(ErrorCode::lock_stale, plan.sum_file.string() + ": out of date", "run `kernels lock`",
                    std::move(plan.sum_changes));
    }
    plan.write();
    report_lock(context, plan);
    return 0;
}

}  // namespace kernels::app
