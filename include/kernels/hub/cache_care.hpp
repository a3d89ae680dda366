// Looking after the cache: what is in it, removing what nothing uses, checking every byte of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/core/reference.hpp"
#include "kernels/hub/cache.hpp"
#include "kernels/hub/fetch.hpp"
#include "kernels/hub/hub.hpp"
#include "kernels/hub/settings.hpp"

namespace kernels::hub {

struct CachedSnapshot {
    Commit commit;
    std::vector<std::string> refs;    ///< branches and tags that had this commit, sorted
    std::vector<std::string> builds;  ///< folders below build/, sorted
    std::size_t files = 0;
    std::uint64_t bytes = 0;  ///< of its files; several snapshots may share them
};

struct CachedRepository {
    RepoId repo;
    std::filesystem::path folder;
    std::vector<CachedSnapshot> snapshots;  ///< by commit
    std::uint64_t bytes = 0;                ///< on disk, each file once
    std::uint64_t partial = 0;              ///< of `bytes`, downloads that were not finished
    std::int64_t changed = 0;               ///< the latest change of a file, seconds since 1970
};

/// Every kernel repository in the cache, by name. Folders of older caches (`models--`) are not looked at.
std::vector<CachedRepository> content_of(const Cache& cache);

struct PrunedRepository {
    RepoId repo;
    std::vector<Commit> commits;  ///< whose snapshots went
    std::size_t files = 0;        ///< blobs, copies and partial downloads that went
    std::uint64_t bytes = 0;
    bool whole = false;                       ///< nothing of the repository is left
    std::vector<std::filesystem::path> busy;  ///< kept, because another process is downloading them
};

/// Removes every snapshot that is not in `keep`, with the refs that name it and the blobs that no other
/// snapshot needs, and the locks on content that nobody holds. A snapshot goes as a whole before its blobs
/// do. With `dry_run` it only says what would go. One process at a time: `waiting` is told of another one's
/// pid (0: unknown), for which it waits as long as `settings` say. Throws Error(failed) when the cache cannot
/// be written, or that took too long.
std::vector<PrunedRepository> prune(const Cache& cache, const std::set<std::pair<RepoId, Commit>>& keep,
                                    bool dry_run, const Settings& settings = {},
                                    std::function<void(int)> waiting = {});

struct DamagedFile {
    RepoId repo;
    std::filesystem::path file;  ///< the blob, or a snapshot's own copy
    std::string reason;
    /// The files of snapshots that are it; empty when the cache has no use for it.
    std::vector<std::pair<Commit, std::string>> used_as;
    std::optional<Commit> listing_of = {};  ///< where the file lists those of a commit
};

struct VerifiedCache {
    std::size_t files = 0;
    std::uint64_t bytes = 0;
    std::vector<DamagedFile> damaged;              ///< by path
    std::vector<std::filesystem::path> unchecked;  ///< nothing says what their bytes should be
};

/// Hashes every blob of the repositories, and every file of a snapshot that is no link to one, against their
/// names and the listings in the cache; links that lead nowhere or to another file's bytes are damaged too,
/// and so are listings that are not as they were written. Throws Error(interrupted). `progress` hears the
/// bytes of each file that was read, from several threads, one call at a time.
VerifiedCache verify(const Cache& cache, std::span<const RepoId> repos, const std::atomic<bool>* cancel,
                     const std::function<void(std::uint64_t)>& progress = {});

/// Fetches a damaged file again; one without a use is removed. Throws what fetch() and Hub::tree throw.
void repair(const DamagedFile& damaged, const Hub& hub, Monitor* monitor = nullptr);

}  // namespace kernels::hub
