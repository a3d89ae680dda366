// kernels cache ls, size, prune and verify: looking after the cache that is shared with Python.
#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <mutex>
#include <set>

#include "commands.hpp"
#include "common/progress.hpp"
#include "common/remedies.hpp"
#include "common/table.hpp"
#include "kernels/core/file_lock.hpp"
#include "kernels/core/text.hpp"
#include "kernels/hub/cache_care.hpp"
#include "kernels/project/project.hpp"

namespace kernels::app {
namespace {

using Json = nlohmann::ordered_json;

std::string date(std::int64_t seconds) {
    const auto time = static_cast<std::time_t>(seconds);
    std::tm parts{};
    std::array<char, 32> text{};
    ::localtime_r(&time, &parts);
    std::strftime(text.data(), text.size(), "%Y-%m-%d", &parts);
    return text.data();
}

// The repositories that are named, each of which must be there; without a name all of them.
std::vector<RepoId> chosen(const Context& context, const hub::Cache& cache) {
    const auto all = cache.repositories();
    if (context.arguments.positional().empty()) return all;
    std::vector<RepoId> repos;
    for (const auto& argument : context.arguments.positional()) {
        const RepoId repo = RepoId::parse(argument);
        if (std::find(all.begin(), all.end(), repo) == all.end()) {
            std::vector<std::string> names;
            for (const auto& known : all)
                names.push_back(known.to_string());
            throw Error(ErrorCode::not_found, argument + ": it is not in the cache " + cache.root().string(),
                        did_you_mean(argument, names));
        }
        if (std::find(repos.begin(), repos.end(), repo) == repos.end()) repos.push_back(repo);
    }
    return repos;
}

Json to_json(const hub::CachedRepository& found) {
    Json snapshots = Json::array();
    for (const auto& snapshot : found.snapshots) {
        snapshots.push_back({{"commit", snapshot.commit.to_string()},
                             {"refs", snapshot.refs},
                             {"builds", snapshot.builds},
                             {"files", snapshot.files},
                             {"bytes", snapshot.bytes}});
    }
    return {{"repo", found.repo.to_string()}, {"folder", found.folder.string()}, {"bytes", found.bytes},
            {"partial_bytes", found.partial}, {"changed", found.changed},        {"snapshots", snapshots}};
}

// The commits that the given projects' locks name.
std::set<std::pair<RepoId, Commit>> locked_commits(const Context& context) {
    auto folders = context.arguments.positional();
    if (folders.empty()) folders.push_back(context.arguments.value("--project").value_or("."));
    std::set<std::pair<RepoId, Commit>> keep;
    for (const std::filesystem::path folder : folders) {
        std::error_code ignored;
        // As with download, a folder that holds only a lock will do.
        const auto file = std::filesystem::exists(folder / "kernels.lock", ignored)
                              ? folder / "kernels.lock"
                              : project::load(folder).lock_file();
        const auto lock = lock::Lock::load(file);
        for (const auto& kernel : lock.kernels())
            keep.emplace(kernel.dependency.repo, kernel.commit);
    }
    return keep;
}

Json to_json(const hub::DamagedFile& damaged) {
    Json used = Json::array();
    for (const auto& [commit, path] : damaged.used_as)
        used.push_back({{"commit", commit.to_string()}, {"path", path}});
    return {{"repo", damaged.repo.to_string()},
            {"file", damaged.file.string()},
            {"reason", damaged.reason},
            {"used_as", used}};
}

std::string to_line(const hub::DamagedFile& damaged) {
    std::string line = damaged.repo.to_string() + ": ";
    if (!damaged.used_as.empty()) {
        const auto& [commit, path] = damaged.used_as.front();
        line += path + " at " + commit.brief();
        if (damaged.used_as.size() > 1)
            line += " and " + std::to_string(damaged.used_as.size() - 1) + " more";
        line += ": ";
    }
    return line + damaged.file.string() + ": " + damaged.reason;
}

// Fetches every damaged file again; the ones that cannot be are named together.
void repair_all(const Context& context, const hub::VerifiedCache& found) {
    const Session session(context, CacheUse::fills);
    const auto progress = make_progress(context);
    std::vector<Error> failures;
    for (const auto& damaged : found.damaged) {
        try {
            hub::repair(damaged, session.hub(), progress.get());
        } catch (const Error& error) {
            if (error.code() == ErrorCode::interrupted) throw;
            failures.push_back(error.reworded(to_line(damaged) + ": " + error.what()));
        }
    }
    if (failures.empty()) return;
    // What would help is the same for all, or is told below each.
    const Error& first = failures.front();
    const bool is_one_reason = std::all_of(failures.begin(), failures.end(),
                                           [&](const Error& error) { return error.hint() == first.hint(); });
    std::vector<std::string> lines;
    for (const auto& failure : failures) {
        const auto own = lines_of(failure, context.arguments);
        lines.insert(lines.end(), own.begin(), is_one_reason ? own.begin() + 1 : own.end());
    }
    const std::string what = std::to_string(failures.size()) + " of " +
                             counted(found.damaged.size(), "damaged file") + " could not be repaired";
    throw Error(first.code(), what, is_one_reason ? hint_of(first, context.arguments) : "", std::move(lines));
}

}  // namespace

int run_cache_ls(const Context& context) {
    const hub::Cache cache(context.settings().cache);
    const auto repos = chosen(context, cache);
    Json list = Json::array();
    std::vector<std::vector<std::string>> rows{
        {"REPOSITORY", "REFS", "COMMIT", "FILES", "SIZE", "CHANGED", "BUILDS"}};
    for (const auto& found : hub::content_of(cache)) {
        if (std::find(repos.begin(), repos.end(), found.repo) == repos.end()) continue;
        list.push_back(to_json(found));
        for (const auto& snapshot : found.snapshots) {
            rows.push_back({found.repo.to_string(), snapshot.refs.empty() ? "-" : join(snapshot.refs, ","),
                            snapshot.commit.brief(), std::to_string(snapshot.files),
                            human_size(snapshot.bytes), date(found.changed),
                            snapshot.builds.empty() ? "-" : join(snapshot.builds, ",")});
        }
    }
    if (context.json) {
        print_json({{"cache", cache.root().string()}, {"repositories", list}});
    } else if (rows.size() > 1) {
        print_rows(rows);
    } else if (!context.quiet) {
        std::printf("%s: no kernels\n", cache.root().c_str());
    }
    return 0;
}

int run_cache_size(const Context& context) {
    const hub::Cache cache(context.settings().cache);
    const auto repos = chosen(context, cache);
    std::uint64_t total = 0;
    Json list = Json::array();
    std::vector<std::vector<std::string>> rows;
    for (const auto& found : hub::content_of(cache)) {
        if (std::find(repos.begin(), repos.end(), found.repo) == repos.end()) continue;
        total += found.bytes;
        list.push_back(
            {{"repo", found.repo.to_string()}, {"bytes", found.bytes}, {"partial_bytes", found.partial}});
        rows.push_back({human_size(found.bytes), found.repo.to_string()});
        if (found.partial > 0)
            rows.back().push_back("(" + human_size(found.partial) + " of unfinished downloads)");
    }
    if (context.json) {
        print_json({{"cache", cache.root().string()}, {"bytes", total}, {"repositories", list}});
        return 0;
    }
    rows.push_back({human_size(total), cache.root().string()});
    print_rows(rows);
    return 0;
}

int run_cache_prune(const Context& context) {
    const bool dry_run = context.arguments.has("--dry-run");
    const auto settings = context.settings();
    const hub::Cache cache(settings.cache);
    const auto waiting = [](int pid) { log::notice(waiting_for(pid) + ", which prunes the cache"); };
    const auto pruned = hub::prune(cache, locked_commits(context), dry_run, settings, waiting);
    std::uint64_t total = 0;
    Json list = Json::array();
    for (const auto& one : pruned) {
        total += one.bytes;
        std::vector<std::string> commits;
        for (const auto& commit : one.commits)
            commits.push_back(commit.to_string());
        std::vector<std::string> busy;
        for (const auto& path : one.busy)
            busy.push_back(path.string());
        list.push_back({{"repo", one.repo.to_string()},
                        {"commits", commits},
                        {"files", one.files},
                        {"bytes", one.bytes},
                        {"whole", one.whole},
                        {"busy", busy}});
        if (context.json || context.quiet) continue;
        for (auto& commit : commits)
            commit.resize(12);
        std::printf("%s%s: %s, %s%s\n", dry_run ? "would remove " : "removed ", one.repo.to_string().c_str(),
                    commits.empty() ? "unused files" : join(commits, ", ").c_str(),
                    human_size(one.bytes).c_str(), one.whole ? ", nothing of it is left" : "");
        for (const auto& path : busy)
            std::printf("kept %s: another process is downloading it\n", path.c_str());
    }
    if (context.json) {
        print_json({{"cache", cache.root().string()},
                    {"dry_run", dry_run},
                    {"bytes", total},
                    {"repositories", list}});
    } else if (!context.quiet) {
        std::printf("%s %s\n", human_size(total).c_str(), dry_run ? "would be freed" : "freed");
    }
    return 0;
}

int run_cache_verify(const Context& context) {
    const bool dry_run = context.arguments.has("--dry-run");
    const bool repairs = context.arguments.has("--repair");
    if (dry_run && !repairs)
        throw Error(ErrorCode::usage, "--dry-run belongs to --repair; without that nothing is changed");
    const auto settings = context.settings();
    const hub::Cache cache(settings.cache);
    const auto found = hub::verify(cache, chosen(context, cache), settings.cancel);
    std::vector<std::string> lines;
    Json list = Json::array();
    const auto tell = [&](const hub::VerifiedCache& verified) {
        for (const auto& damaged : verified.damaged) {
            lines.push_back(to_line(damaged));
            list.push_back(to_json(damaged));
        }
    };
    tell(found);
    if (!found.damaged.empty() && (!repairs || dry_run)) {
        throw Error(ErrorCode::verification,
                    cache.root().string() + ": " + std::to_string(found.damaged.size()) + " of " +
                        counted(found.files, "file") + " are damaged",
                    dry_run ? "without --dry-run, --repair fetches them again or removes what nothing uses"
                            : "`kernels cache verify --repair` fetches them again",
                    std::move(lines));
    }
    if (!found.damaged.empty() && settings.offline) {
        throw Error(ErrorCode::network,
                    cache.root().string() + ": " + std::to_string(found.damaged.size()) + " of " +
                        counted(found.files, "file") + " are damaged, and this is offline",
                    "run it once online", std::move(lines));
    }
    if (!found.damaged.empty()) repair_all(context, found);
    // Which file should be where was not known without its list.
    std::set<RepoId> listed_anew;
    for (const auto& damaged : found.damaged) {
        if (damaged.listing_of) listed_anew.insert(damaged.repo);
    }
    const auto again =
        hub::verify(cache, std::vector(listed_anew.begin(), listed_anew.end()), settings.cancel);
    tell(again);
    if (!again.damaged.empty()) repair_all(context, again);
    std::vector<std::string> unchecked;
    for (const auto& path : found.unchecked) {
        const bool is_again = std::any_of(listed_anew.begin(), listed_anew.end(), [&](const RepoId& repo) {
            return path.string().starts_with(cache.repo_folder(repo).string() + "/");
        });
        if (!is_again) unchecked.push_back(path.string());
    }
    for (const auto& path : again.unchecked)
        unchecked.push_back(path.string());
    if (context.json) {
        print_json({{"cache", cache.root().string()},
                    {"files", found.files},
                    {"bytes", found.bytes},
                    {"repaired", list},
                    {"unchecked", unchecked}});
        return 0;
    }
    if (context.quiet) return 0;
    for (const auto& line : lines)
        std::printf("repaired %s\n", line.c_str());
    for (const auto& path : unchecked)
        std::printf("not checked, as nothing says what it should be: %s\n", path.c_str());
    const std::string outcome = lines.empty()
                                    ? human_size(found.bytes) + ": all right"
                                    : std::to_string(lines.size()) + " of them repaired: all right now";
    std::printf("%s: %s, %s\n", cache.root().c_str(), counted(found.files, "file").c_str(), outcome.c_str());
    return 0;
}

}  // namespace kernels::app
