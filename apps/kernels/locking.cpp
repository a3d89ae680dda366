#include "locking.hpp"

#include <cstdio>

#include "commands.hpp"
#include "common/remedies.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/log.hpp"
#include "kernels/lock/download.hpp"
#include "kernels/lock/failures.hpp"
#include "kernels/lock/resolve.hpp"
#include "kernels/lock/sum_file.hpp"
#include "targets.hpp"

namespace kernels::app {
namespace {

// Whether a file says the same: that git checked it out with CRLF, or that a hook ended its last line, is no
// difference to tell.
bool says(std::optional<std::string> text, std::string wanted) {
    if (!text) return false;
    for (std::size_t at = 0; (at = text->find("\r\n", at)) != std::string::npos; ++at)
        text->erase(at, 1);
    for (auto* one : {&*text, &wanted})
        one->erase(one->find_last_not_of('\n') + 1);
    return *text == wanted;
}

// The lock that is there, none when it may be written anew and cannot be read.
lock::Lock lock_before(const std::optional<std::string>& text, const std::filesystem::path& file,
                       Present present) {
    if (!text) return {};
    try {
        return lock::Lock::parse(*text, file.string());
    } catch (const Error& error) {
        if (present != Present::anything) throw;
        log::warning(std::string(error.what()) + "; it is written anew, with what every version is now");
        return {};
    }
}

// The sums that are there. Of a damaged file the lines that can be read still pin their builds.
std::optional<lock::SumFile> sums_in(const std::optional<std::string>& text,
                                     const std::filesystem::path& file, Present present) {
    if (!text) return std::nullopt;
    try {
        return lock::SumFile::parse(*text, file.string());
    } catch (const Error& error) {
        if (present != Present::anything) throw;
        log::warning(std::string(error.what()) + "; it is written anew");
        return lock::SumFile::readable_part(*text, file.string());
    }
}

// What kernels.sum becomes. Lines of commits that stay may not change: a commit's files never do.
lock::SumFile new_sums(const lock::Lock& lock, const std::optional<lock::SumFile>& before,
                       const std::filesystem::path& file, const hub::Hub& hub) {
    auto sums = lock::sums_of(lock, hub);
    if (before) {
        auto changed = before->conflicts_with(sums);
        if (!changed.empty()) {
            throw Error(ErrorCode::verification,
                        file.string() + ": the hub lists other files than before for the same commit",
                        "find out why before you trust them; nothing was written", std::move(changed));
        }
    }
    return sums;
}

// What a lock before 0.17 says of the builds is checked while it still says so: the new format cannot.
void require_legacy_hashes(const lock::Lock& before, const lock::Lock& after, const hub::Hub& hub) {
    for (const auto& kernel : before.kernels()) {
        // A kernel that is no longer wanted is neither fetched nor was its publisher checked.
        if (kernel.legacy_hashes.empty() || after.find(kernel.dependency.repo) == nullptr) continue;
        try {
            const auto tree = hub.tree(kernel.dependency.repo, kernel.commit);
            for (const auto& [name, hash] : kernel.legacy_hashes)
                lock::require_legacy_hash(kernel, build::BuildVariant::parse(name), tree);
        } catch (const Error& error) {
            throw lock::explained(error, kernel, hub);
        }
    }
}

// With --target (or --torch): every locked kernel has a build for each of them, before anything is written.
void require_builds(const lock::Lock& lock, const Context& context, const project::Project& project,
                    const hub::Hub& hub) {
    if (!names_targets(context)) return;
    const auto failures =
        lock::missing_builds(lock, targets_from(context, project.folder),
                             !context.arguments.has("--no-device-check"), named_in(project, lock), hub);
    if (failures.size() == 1) throw Error(failures.front());
    if (failures.empty()) return;
    std::vector<std::string> details;
    for (const auto& failure : failures) {
        const auto lines = lines_of(failure, context.arguments);
        details.insert(details.end(), lines.begin(), lines.end());
    }
    throw Error(ErrorCode::no_build, std::to_string(failures.size()) + " builds are missing", {},
                std::move(details))
        .with_causes(failures);
}

nlohmann::ordered_json conflicts_json(const std::vector<lock::Conflict>& conflicts) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const auto& conflict : conflicts) {
        nlohmann::ordered_json states = nlohmann::ordered_json::array();
        for (const auto& [kernel, path] : conflict.states) {
            auto state = locked_to_json(kernel);
            state.erase("repo");
            for (const auto& dependency : path)
                state["path"].push_back(dependency.to_string());
            states.push_back(std::move(state));
        }
        list.push_back({{"repo", conflict.repo.to_string()}, {"states", states}});
    }
    return list;
}

}  // namespace

std::vector<Dependency> named_in(const project::Project& project, const lock::Lock& lock) {
    std::vector<Dependency> named = project.require_dependencies();
    for (const auto& entry : project.layers) {
        const auto* source = std::get_if<project::LockedSource>(&entry.source);
        if (source == nullptr || source->file || !entry.repo) continue;
        if (const auto* kernel = lock.find(*entry.repo)) named.push_back(kernel->dependency);
    }
    return named;
}

nlohmann::ordered_json locked_to_json(const lock::LockedKernel& kernel) {
    const auto& reference = kernel.dependency.reference;
    nlohmann::ordered_json document = {{"repo", kernel.dependency.repo.to_string()}};
    if (const auto* version = reference.version()) {
        document["version"] = version->number;
    } else {
        document["revision"] = reference.revision()->name();
    }
    document["commit"] = kernel.commit.to_string();
    return document;
}

std::unique_ptr<FileLock> hold_project(const Context& context, const std::filesystem::path& folder) {
    const auto project = project::find(folder);
    const std::filesystem::path place = project ? project->folder : folder;
    std::error_code ignored;
    if (!std::filesystem::is_directory(place, ignored)) return nullptr;  // the command says what is wrong
    const auto settings = context.settings();
    FileLockOptions options;
    options.timeout = settings.lock_timeout;
    options.cancel = settings.cancel;
    options.is_optional = true;
    options.waiting = [place](int pid) {
        log::notice(waiting_for(pid) + ", which changes the project in " + place.string());
    };
    return std::make_unique<FileLock>(place, options);
}

namespace {

// `plan` holds the lock as soon as it is resolved, whatever fails behind that.
void fill(LockPlan& plan, const Context& context, const project::Project& project,
          const std::function<lock::Lock(const lock::Lock&)>& keep, const hub::Hub& hub, Present present) {
    plan.file = project.lock_file();
    plan.sum_file = project.sum_file();
    const bool check = present == Present::complete;
    const bool no_sum = context.arguments.has("--no-sum");
    const auto text = read_file_if_exists(plan.file);
    // With --check a missing lock is the answer; load() says so.
    const lock::Lock before = check ? lock::Lock::load(plan.file) : lock_before(text, plan.file, present);
    const auto sums_text = no_sum ? std::nullopt : read_file_if_exists(plan.sum_file);
    const auto sums_before = sums_in(sums_text, plan.sum_file, present);
    const lock::Lock pinned = lock::pinned_by(before, *project.dependencies, project.lock_trust(), hub);
    auto found = lock::resolve({*project.dependencies, project.lock_trust(), keep(pinned)}, hub);
    plan.lock = std::move(found.lock);
    plan.conflicts = std::move(found.conflicts);
    require_legacy_hashes(before, plan.lock, hub);
    plan.bytes = plan.lock.to_json();
    plan.differs = check ? !says(text, plan.bytes) : text != plan.bytes;
    plan.changes = lock::describe_difference(pinned, plan.lock);
    if (no_sum) {
        std::error_code unreadable;
        plan.drops_sums = !check && std::filesystem::exists(plan.sum_file, unreadable);
    } else if (!check || sums_before) {
        // The Python client writes no kernels.sum, so a project without one is not out of date.
        auto sums = new_sums(plan.lock, sums_before, plan.sum_file, hub);
        plan.sums = sums.to_text();
        plan.sums_differ = check ? !says(sums_text, *plan.sums) : sums_text != plan.sums;
        if (check && plan.sums_differ) plan.sum_changes = sums_before->changes_to(sums);
        if (!check) {
            if (sums_before) sums.keep(*sums_before);
            plan.sums_of_both = sums.to_text();
        }
    }
    require_builds(plan.lock, context, project, hub);
}

// Whether the Hub lists other files than the cache for a locked commit.
bool any_wrongly_listed(const lock::Lock& lock, const hub::Hub& hub) {
    bool any = false;
    for (const auto& kernel : lock.kernels()) {
        if (!hub.cache().read_listing(kernel.dependency.repo, kernel.commit)) continue;
        try {
            any = hub.renew_tree(kernel.dependency.repo, kernel.commit) || any;
        } catch (const Error& unanswered) {
            if (unanswered.code() == ErrorCode::interrupted) throw;
            log::debug(unanswered.what());
        }
    }
    return any;
}

}  // namespace

LockPlan plan_lock(const Context& context, const project::Project& project,
                   const std::function<lock::Lock(const lock::Lock&)>& keep, const hub::Hub& hub,
                   Present present) {
    LockPlan plan;
    try {
        fill(plan, context, project, keep, hub, present);
        return plan;
    } catch (const Error& error) {
        // Before anybody is accused: the cache's own lists of files may be what is wrong.
        const bool may_be = error.code() == ErrorCode::verification || error.code() == ErrorCode::no_build;
        if (!may_be || !any_wrongly_listed(plan.lock, hub)) throw;
    }
    plan = {};
    fill(plan, context, project, keep, hub, present);
    return plan;
}

void LockPlan::write() const {
    // Whatever is written last, `download` works: a lock without its sums is refused, sums without a lock do
    // no harm. So those of the lock that is there go when it has gone.
    if (sums_differ) rewrite_file(sum_file, differs ? sums_of_both : *sums);
    if (differs) rewrite_file(file, bytes);
    if (sums_differ && differs && sums_of_both != *sums) rewrite_file(sum_file, *sums);
    if (!drops_sums) return;
    std::error_code error;
    std::filesystem::remove(sum_file, error);
    if (error) throw Error(ErrorCode::failed, sum_file.string() + ": " + error.message());
    log::info(sum_file.string() + ": removed, as --no-sum says");
}

void warn_of_offline() {
    log::warning(
        "offline: the Hub was not asked; a version is what the cache's refs name, which follow the last "
        "download");
}

void report_lock(const Context& context, const LockPlan& plan, const nlohmann::ordered_json& more) {
    if (context.json) {
        nlohmann::ordered_json kernels = nlohmann::ordered_json::array();
        for (const auto& kernel : plan.lock.kernels())
            kernels.push_back(locked_to_json(kernel));
        nlohmann::ordered_json document = {{"file", plan.file.string()},
                                           {"written", plan.differs},
                                           {"sums_written", plan.sums_differ || plan.drops_sums},
                                           {"kernels", kernels},
                                           {"changes", plan.changes}};
        if (!plan.conflicts.empty()) document["conflicts"] = conflicts_json(plan.conflicts);
        if (more.is_object()) document.update(more);
        print_json(std::move(document));
        return;
    }
    if (context.quiet) return;
    for (const auto& line : plan.changes)
        std::puts(line.c_str());
    std::printf("%s: %zu %s, %s\n", plan.file.c_str(), plan.lock.kernels().size(),
                plan.lock.kernels().size() == 1 ? "kernel" : "kernels",
                plan.differs ? "written" : "up to date");
    if (plan.drops_sums || (plan.sums_differ && !plan.differs))
        std::printf("%s: %s\n", plan.sum_file.c_str(), plan.drops_sums ? "removed" : "written");
}

}  // namespace kernels::app
