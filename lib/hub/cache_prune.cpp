#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "blob_file.hpp"
#include "core/unique_name.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/file_lock.hpp"
#include "kernels/core/log.hpp"
#include "kernels/hub/cache_care.hpp"
#include "part_file.hpp"
#include "snapshots.hpp"

namespace kernels::hub {
namespace {

namespace fs = std::filesystem;

constexpr const char* condemned_prefix = ".pruned-";

// The lock when nobody holds it, else nothing.
std::unique_ptr<FileLock> lock_at_once(const fs::path& path) {
    FileLockOptions at_once;
    at_once.timeout = std::chrono::seconds(0);
    try {
        return std::make_unique<FileLock>(path, at_once);
    } catch (const Error& failure) {
        log::debug(failure.what());
        return nullptr;
    }
}

// A lock on content serves while its bytes are on their way; what a finished download left guards nothing.
void remove_content_locks(const Cache& cache) {
    const fs::path folder = cache.content_lock_path("x").parent_path();
    for (const auto& name : files_below(folder)) {
        std::error_code ignored;
        if (const auto held = lock_at_once(folder / name))
            fs::remove(folder / name, ignored);  // see FileLock
    }
}

class Pruner {
  public:
    Pruner(const Cache& cache, const RepoId& repo, std::vector<Commit> kept, std::vector<Commit> gone,
           bool dry_run)
        : m_cache(cache),
          m_folder(cache.repo_folder(repo)),
          m_kept(std::move(kept)),
          m_dry_run(dry_run),
          m_result{repo, std::move(gone), 0, 0, false, {}} {}

    PrunedRepository run() {
        for (const auto& [name, text] : refs_of(m_folder)) {
            if (is_gone(text)) remove(m_folder / "refs" / name, false);
        }
        for (const auto& commit : m_result.commits)
            remove_snapshot(commit);
        remove_leftovers();
        remove_unfinished();
        remove_blobs();
        m_result.whole = m_kept.empty() && m_result.busy.empty();
        if (m_result.whole) m_result.whole = remove_repository();
        return std::move(m_result);
    }

  private:
    bool is_gone(const std::string& commit) const {
        return std::any_of(m_result.commits.begin(), m_result.commits.end(),
                           [&](const Commit& gone) { return gone.to_string() == commit; });
    }

    void remove(const fs::path& path, bool counts) {
        std::error_code error;
        if (counts) {
            ++m_result.files;
            m_result.bytes += fs::file_size(path, error);
        }
        if (m_dry_run) return;
        fs::remove(path, error);
        if (error) throw disk_error(path, "cannot be removed", error.value());
    }

    // Out of the way in one step, so that nobody meets half a snapshot.
    void remove_snapshot(const Commit& commit) {
        const fs::path folder = m_cache.snapshot_folder(m_result.repo, commit);
        count_copies(folder);
        for (const char* kind : {"listings", "trees"}) {
            const fs::path listing = m_folder / kind / (commit.to_string() + ".json");
            if (fs::exists(listing)) remove(listing, false);
        }
        if (m_dry_run) return;
        std::error_code error;
        fs::remove_all(m_folder / ".no_exist" / commit.to_string(), error);
        const fs::path condemned = m_folder / (condemned_prefix + commit.to_string());
        fs::remove_all(condemned, error);
        fs::rename(folder, condemned, error);
        if (error) throw disk_error(folder, "cannot be removed", error.value());
    }

    // Where links are impossible a snapshot has files of its own.
    void count_copies(const fs::path& folder) {
        for (const auto& file : files_below(folder)) {
            std::error_code error;
            if (fs::is_symlink(folder / file, error)) continue;
            ++m_result.files;
            m_result.bytes += fs::file_size(folder / file, error);
        }
    }

    // Of this run and of one that was killed.
    void remove_leftovers() const {
        if (m_dry_run) return;
        std::error_code error;
        std::vector<fs::path> leftovers;
        for (const auto& entry : fs::directory_iterator(m_folder, error)) {
            if (entry.path().filename().string().starts_with(condemned_prefix))
                leftovers.push_back(entry.path());
        }
        for (const auto& path : leftovers) {
            fs::remove_all(path, error);
            if (error) throw disk_error(path, "cannot be removed", error.value());
        }
    }

    // What a killed process left where files are made; earlier builds made them beside their places.
    void remove_unfinished() const {
        if (m_dry_run) return;
        const std::time_t long_ago = std::time(nullptr) - 3600;  // making one takes no time
        std::vector<fs::path> found;
        for (const char* folder : {"unfinished", "refs", "listings"}) {
            for (const auto& name : files_below(m_folder / folder))
                found.push_back(m_folder / folder / name);
        }
        std::error_code ignored;
        for (const auto& entry : fs::directory_iterator(m_folder, ignored))
            found.push_back(entry.path());
        for (const auto& path : found) {
            struct stat status {};
            if (is_unfinished(path.filename().native()) && ::lstat(path.c_str(), &status) == 0 &&
                status.st_mtime < long_ago)
                fs::remove(path, ignored);
        }
    }

    // The blobs that kept snapshots have, or still lack and may go on fetching.
    std::set<std::string> needed_blobs() const {
        std::set<std::string> needed;
        for (const auto& commit : m_kept) {
            const fs::path folder = m_cache.snapshot_folder(m_result.repo, commit);
            for (const auto& file : files_below(folder)) {
                if (auto blob = linked_blob(folder / file)) needed.insert(std::move(*blob));
            }
            if (const auto tree = m_cache.read_listing(m_result.repo, commit)) {
                for (const auto& file : tree->files)
                    needed.insert(file.etag());
            }
        }
        return needed;
    }

    void remove_blobs() {
        const auto needed = needed_blobs();
        for (const auto& name : files_below(m_folder / "blobs")) {
            const std::string etag = name.substr(0, name.find('.'));
            const fs::path blob = m_folder / "blobs" / name;
            if (needed.contains(etag) && !(blob.extension() == ".incomplete" && is_leftover(blob))) continue;
            const fs::path lock = m_cache.lock_path(m_result.repo, etag);
            std::error_code error;
            if (!fs::exists(lock, error)) {
                remove(blob, true);
                continue;
            }
            const auto held = lock_at_once(lock);
            if (!held) {
                m_result.busy.push_back(blob);
                continue;
            }
            remove(blob, true);
            if (!m_dry_run) fs::remove(lock, error);  // while it is held: see FileLock
        }
    }

    // Whether nothing of it is left: somebody may begin to download it again at this moment.
    bool remove_repository() const {
        if (m_dry_run) return true;
        std::error_code error;
        fs::remove_all(m_folder, error);
        if (error == std::errc::directory_not_empty || error == std::errc::no_such_file_or_directory)
            return false;
        if (error) throw disk_error(m_folder, "cannot be removed", error.value());
        // Locks of files that are gone; an error means that a folder is not there.
        const fs::path locks = m_cache.lock_path(m_result.repo, "x").parent_path();
        fs::remove_all(locks, error);
        return true;
    }

    const Cache& m_cache;
    fs::path m_folder;
    std::vector<Commit> m_kept;
    bool m_dry_run;
    PrunedRepository m_result;
};

}  // namespace

std::vector<PrunedRepository> prune(const Cache& cache, const std::set<std::pair<RepoId, Commit>>& keep,
                                    bool dry_run, const Settings& settings,
                                    std::function<void(int)> waiting) {
    std::unique_ptr<FileLock> alone;
    std::error_code unreadable;
    if (!dry_run && fs::is_directory(cache.root(), unreadable)) {
        auto how = lock_options(settings, std::move(waiting));
        how.removed_at_end = true;
        try {
            alone = std::make_unique<FileLock>(cache.root() / ".locks" / "kernels-prune.lock", how);
        } catch (const Error& error) {
            // A cache that cannot be written may have nothing to remove.
            if (error.code() == ErrorCode::interrupted || cache.is_writable() ||
                !prune(cache, keep, true).empty())
                throw;
            return {};
        }
    }
    std::vector<PrunedRepository> pruned;
    for (const auto& repo : cache.repositories()) {
        // A commit without a snapshot may have parts of files, to go on from.
        std::vector<Commit> kept;
        for (const auto& [kept_repo, commit] : keep) {
            if (kept_repo == repo) kept.push_back(commit);
        }
        std::vector<Commit> gone;
        for (const auto& commit : snapshots_of(cache.repo_folder(repo))) {
            if (!keep.contains({repo, commit})) gone.push_back(commit);
        }
        auto result = Pruner(cache, repo, std::move(kept), std::move(gone), dry_run).run();
        if (!result.commits.empty() || result.files > 0 || result.whole || !result.busy.empty())
            pruned.push_back(std::move(result));
    }
    if (!dry_run) remove_content_locks(cache);
    return pruned;
}

}  // namespace kernels::hub
