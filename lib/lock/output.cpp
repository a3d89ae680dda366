#include "kernels/lock/output.hpp"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "kernels/build/build_variant.hpp"
#include "kernels/core/file_lock.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/log.hpp"
#include "kernels/hub/cache.hpp"
#include "kernels/lock/failures.hpp"
#include "machine_needs.hpp"

namespace kernels::lock {
namespace {

namespace fs = std::filesystem;

constexpr const char* staging_name = ".kernels-download";
constexpr const char* lock_name = ".kernels-download.lock";

Error disk_error(const fs::path& path, const std::error_code& error) {
    return Error(ErrorCode::failed, path.string() + ": cannot be written: " + error.message(),
                 "choose another folder")
        .with_remedies({Remedy::output});
}

// The cache that is full or cannot be written is the staging one, and lies in the folder.
Error told_of_folder(const Error& error, const hub::Cache& staging) {
    if (!std::string_view(error.what()).starts_with(staging.root().string())) return error;
    if (!blames_cache(error)) return error;
    return Error(error.code(), error.what(), "free some room, or choose another folder", error.details())
        .with_remedies({Remedy::output});
}

fs::path repo_folder(const fs::path& folder, const RepoId& repo) {
    return folder / repo.org() / repo.name();
}

void make_folders(const fs::path& path) {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) throw disk_error(path, error);
}

// How many files of the result still need a staged blob: the last one takes it, the others copy it.
using Uses = std::map<fs::path, std::size_t>;

void place_file(const fs::path& staged, const fs::path& file, const fs::path& end, const std::string& etag,
                Uses& uses, const hub::Cache& staging) {
    std::error_code error;
    const fs::path blob = fs::canonical(staged, error);
    if (error) throw disk_error(staged, error);
    make_folders(file.parent_path());
    if (--uses.at(blob) == 0) {
        fs::rename(blob, file, error);
    } else {
        fs::copy_file(blob, file, error);
        if (!error) error = sync_to_disk(file);
    }
    if (error) throw disk_error(file, error);
    staging.note_moved_content(etag, blob, end);
}

// Where several processes look for the bytes that others are fetching: the cache, if it can be written.
bool takes_locks(const hub::Cache& cache) {
    const fs::path locks = cache.content_lock_path("x").parent_path();
    std::error_code error;
    fs::create_directories(locks, error);
    return ::access(locks.c_str(), W_OK) == 0;
}

// The whole build under another name first, so that its own name never stands for half of it.
void place_build(const fs::path& folder, DownloadedBuild& build, Uses& uses, const hub::Cache& staging) {
    const RepoId& repo = build.kernel.dependency.repo;
    const std::string prefix = "build/" + build.variant.to_string();
    const fs::path place = repo_folder(folder, repo) / prefix;
    const fs::path fresh = place.string() + ".incomplete";
    const fs::path old = place.string() + ".replaced";
    std::error_code error;
    fs::remove_all(fresh, error);
    fs::remove_all(old, error);
    make_folders(fresh);
    for (auto& file : build.files) {
        const std::string below = file.request.entry.path.substr(prefix.size() + 1);
        place_file(file.path, fresh / below, place / below, file.request.entry.etag(), uses, staging);
        file.path = place / below;
    }
    const bool replaces = fs::exists(place, error);
    if (replaces) fs::rename(place, old, error);
    if (error) throw disk_error(place, error);
    fs::rename(fresh, place, error);
    if (error) {
        std::error_code ignored;
        if (replaces) fs::rename(old, place, ignored);
        throw disk_error(place, error);
    }
    fs::remove_all(old, error);
    build.folder = place;
}

// Staging and places have fixed names, so that a later run goes on where this one ends: one process at a
// time.
FileLockOptions lock_options(const fs::path& folder, const hub::Settings& settings) {
    FileLockOptions options;
    options.timeout = settings.lock_timeout;
    options.cancel = settings.cancel;
    options.waiting = [folder](int pid) {
        log::notice(waiting_for(pid) + ", which writes to " + folder.string());
    };
    options.hint = "choose another folder";
    options.remedies = {Remedy::output};
    options.removed_at_end = true;
    return options;
}

// Of a repository in several states, those that only builds for other machines need.
void drop_states_of_others(std::vector<DownloadedBuild>& builds, const Lock& lock,
                           const DownloadOptions& options, const hub::Hub& hub) {
    if (options.all_variants) return;
    std::map<RepoId, std::set<Commit>> states;
    for (const auto& build : builds)
        states[build.kernel.dependency.repo].insert(build.kernel.commit);
    MachineNeeds needs(lock, options, hub);
    std::erase_if(builds, [&](const DownloadedBuild& build) {
        const Dependency& dependency = build.kernel.dependency;
        const auto is_needed = [&](const build::Target& target) {
            try {
                return needs.is_needed(dependency, target);
            } catch (const Error& unknown) {
                if (unknown.code() == ErrorCode::interrupted) throw;
                return true;
            }
        };
        return states.at(dependency.repo).size() > 1 &&
               std::none_of(options.targets.begin(), options.targets.end(), is_needed);
    });
}

// A tree of folders has one place for each repository.
std::optional<std::pair<LockedKernel, Error>> two_states(const std::vector<DownloadedBuild>& builds) {
    std::map<RepoId, const LockedKernel*> states;
    for (const auto& build : builds) {
        const LockedKernel& kernel = build.kernel;
        const auto [place, is_new] = states.emplace(kernel.dependency.repo, &kernel);
        const LockedKernel& other = *place->second;
        if (is_new || other.commit == kernel.commit) continue;
        const Error error(
            ErrorCode::failed,
            kernel.dependency.repo.to_string() + ": the lock has two states of it, " +
                other.dependency.reference.to_string() + " (" + other.commit.brief() + ") and " +
                kernel.dependency.reference.to_string() + " (" + kernel.commit.brief() +
                "), and a folder has room for one",
            "`kernels tree` shows who needs which: depend on one of them, or download into the cache");
        return std::pair(kernel, error);
    }
    return std::nullopt;
}

// Whether the commit that `tree` lists has this build, by its metadata.
bool is_of(const hub::Tree& tree, const std::string& variant, const fs::path& build) {
    const auto* entry = tree.find("build/" + variant + "/metadata.json");
    const auto text = entry == nullptr ? std::nullopt : read_file_if_exists(build / "metadata.json");
    return text && entry->matches(*text);
}

// Who loads a kernel from the folder chooses among all builds that are in it.
void warn_of_other_states(const fs::path& folder, const DownloadResult& result, const hub::Cache& staging) {
    std::set<fs::path> placed;
    for (const auto& build : result.builds)
        placed.insert(build.folder);
    std::set<fs::path> told;
    for (const auto& build : result.builds) {
        const auto& [dependency, commit, hashes] = build.kernel;
        const auto tree = staging.read_listing(dependency.repo, commit);
        if (!tree) continue;
        std::error_code error;
        for (const auto& other :
             fs::directory_iterator(repo_folder(folder, dependency.repo) / "build", error)) {
            const std::string name = other.path().filename().string();
            if (placed.contains(other.path()) || !build::BuildVariant::try_parse(name)) continue;
            if (is_of(*tree, name, other.path()) || !told.insert(other.path()).second) continue;
            log::warning(other.path().string() + ": " + dependency.repo.to_string() +
                         " has no such build in the state that is locked (" + commit.brief() +
                         "), and it may be loaded in place of one that is: remove it, or download into an "
                         "empty folder");
        }
    }
}

// The kernels that are needed here, where the Python client does not look for anything, with the lists of
// their files. What tells that is kept in the cache, so that the next run finds it.
std::vector<LockedKernel> needed_in(const Lock& lock, const DownloadOptions& options, const hub::Hub& hub,
                                    const hub::Hub& front, const hub::Cache& staging) {
    const auto look = [&](const hub::Hub& where) {
        auto needed = needed_kernels(lock, options, where);
        for (const auto& kernel : needed) {
            const RepoId& repo = kernel.dependency.repo;
            if (staging.read_listing(repo, kernel.commit)) continue;
            if (const auto tree = where.cache().read_listing(repo, kernel.commit))
                staging.write_listing(repo, kernel.commit, *tree);
        }
        return needed;
    };
    if (hub.cache().is_writable()) {
        try {
            return look(hub);
        } catch (const Error& error) {
            if (!blames_cache(error)) throw;
            log::debug(error.what());
        }
    }
    return look(front);
}

DownloadResult fill(const fs::path& folder, const Lock& lock, const DownloadOptions& options,
                    const hub::Hub& hub, hub::Monitor* monitor) {
    const FileLock held(folder / lock_name, lock_options(folder, hub.settings()));
    const hub::Cache& shared = hub.cache();
    const hub::Cache staging =
        takes_locks(shared) ? hub::Cache(folder / staging_name, shared) : hub::Cache(folder / staging_name);
    std::error_code ignored;
    const bool is_fresh = !fs::exists(staging.root(), ignored);
    make_folders(staging.root());
    hub::Settings settings = hub.settings();
    settings.cache = staging.root();
    settings.donors = [&](const hub::FileRequest& file) {
        std::vector<fs::path> found{repo_folder(folder, file.repo) / file.entry.path};
        for (const auto& repo : shared.repositories())  // listed anew: others fill the cache meanwhile
            found.push_back(shared.blob_path(repo, file.entry.etag()));
        if (auto cached = shared.find_file(file.repo, file.commit, file.entry.path))
            found.push_back(std::move(*cached));
        return found;
    };
    const hub::Hub staged(settings, hub.http(), staging);
    const auto front_cache = hub::Cache::in_front_of(shared, staging.root());
    const hub::Hub front(hub.settings(), hub.http(), front_cache);
    std::vector<LockedKernel> needed;
    try {
        needed = needed_in(lock, options, hub, front, staging);
    } catch (const Error& error) {
        if (is_fresh) fs::remove_all(staging.root(), ignored);
        throw told_of_folder(error, staging);
    }
    auto result = download(lock, needed, options, staged, front, monitor);
    for (auto& [kernel, error] : result.failures)
        error = told_of_folder(error, staging);

    drop_states_of_others(result.builds, lock, options, front);
    if (auto conflict = two_states(result.builds)) {
        if (!result.is_partial) fs::remove_all(staging.root(), ignored);  // no later run will ask for it
        if (result.failures.empty()) throw Error(conflict->second);
        result.failures.push_back(std::move(*conflict));  // beside what may be graver
        result.builds.clear();
        return result;
    }
    Uses uses;
    for (const auto& build : result.builds) {
        for (const auto& file : build.files)
            ++uses[fs::canonical(file.path)];  // there, or download() would have failed
    }
    for (auto& build : result.builds)
        place_build(folder, build, uses, staging);
    warn_of_other_states(folder, result, staging);
    // What is staged lets the next run resume; a build that cannot be used will not be asked for again.
    if (!result.is_partial) fs::remove_all(staging.root(), ignored);
    return result;
}

}  // namespace

DownloadResult download_into(const fs::path& folder, const Lock& lock, const DownloadOptions& options,
                             const hub::Hub& hub, hub::Monitor* monitor) {
    std::error_code ignored;
    const bool is_new = !fs::exists(folder, ignored);
    make_folders(folder);
    try {
        auto result = fill(folder, lock, options, hub, monitor);
        if (is_new && result.builds.empty()) fs::remove(folder, ignored);  // unless something is in it
        return result;
    } catch (const fs::filesystem_error& error) {
        throw disk_error(error.path1(), error.code());
    } catch (const Error&) {
        if (is_new) fs::remove(folder, ignored);
        throw;
    }
}

}  // namespace kernels::lock
