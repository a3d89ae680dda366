// The Hugging Face cache, shared with the Python clients: blobs by hash, snapshots of links into them, refs.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/core/reference.hpp"
#include "kernels/hub/tree.hpp"

namespace kernels::hub {

/// `<cache>/kernels--org--name/{blobs,snapshots,refs}`. Reading needs no write permission; thread-safe.
///
/// huggingface_hub keeps tree listings in `trees/<commit>.json` and calls a snapshot incomplete offline
/// unless it holds every file listed there, so this cache never writes there. Its own listings are in
/// `listings/<commit>.json`, which Python ignores.
class Cache {
  public:
    explicit Cache(std::filesystem::path root) : m_root(std::move(root)) {}
    /// A cache beside a shared one, whose locks on content it takes: who fetches the same bytes into the
    /// shared one, or beside it, waits and then finds them (see note_content).
    Cache(std::filesystem::path root, const Cache& shared)
        : m_root(std::move(root)), m_shared(shared.m_root) {}

    /// A cache in front of one that cannot be written: what that one has is found, what is new goes to
    /// `root`.
    static Cache in_front_of(const Cache& below, std::filesystem::path root);

    const std::filesystem::path& root() const noexcept { return m_root; }
    /// Whether this user may write to it, or make it where it is not there.
    bool is_writable() const;
    std::filesystem::path repo_folder(const RepoId& repo) const;
    std::filesystem::path blob_path(const RepoId& repo, const std::string& etag) const;
    std::filesystem::path lock_path(const RepoId& repo, const std::string& etag) const;
    /// The lock on bytes that several repositories may want; huggingface_hub knows lock_path() only.
    std::filesystem::path content_lock_path(const std::string& etag) const;
    /// Writes into the lock on content, which is held, where the bytes are; a no-op but beside a shared
    /// cache, as others find what is in that.
    void note_content(const std::string& etag, const std::filesystem::path& file) const;
    /// Tells the same when a noted file has moved; the lock need not be held.
    void note_moved_content(const std::string& etag, const std::filesystem::path& from,
                            const std::filesystem::path& to) const;
    /// Where the bytes were last, for whom they were fetched beside the shared cache. They may be gone, or be
    /// others now.
    std::optional<std::filesystem::path> noted_content(const std::string& etag) const;
    std::filesystem::path snapshot_folder(const RepoId& repo, const Commit& commit) const;
    /// Where this program makes what gets its place when it is complete.
    std::filesystem::path unfinished_folder(const RepoId& repo) const;
    /// Replaces a file of the repository's folder, atomically.
    void write(const RepoId& repo, const std::filesystem::path& path, std::string_view bytes) const;

    /// The commit that a version, branch or tag had when it was last looked up.
    std::optional<Commit> read_ref(const RepoId& repo, const Reference& reference) const;
    /// Remembers it; a no-op when it is already there. Throws Error(failed) when the cache cannot be written.
    void write_ref(const RepoId& repo, const Reference& reference, const Commit& commit) const;
    /// Kernel versions (branches vN) that the cache knows.
    std::map<std::int64_t, Commit> versions(const RepoId& repo) const;

    /// A file of a snapshot, if it is there in full; older caches' `models--` folders are looked at too.
    std::optional<std::filesystem::path> find_file(const RepoId& repo, const Commit& commit,
                                                   const std::string& path) const;

    /// Whether a file of this cache is in a `models--` folder, where kernels were before huggingface_hub had
    /// a kind for them: the Python client no longer finds them offline.
    bool is_older(const std::filesystem::path& file) const;

    /// The tree of a commit, if this cache (or huggingface_hub's `trees/`) remembers it. A damaged listing
    /// counts as absent.
    std::optional<Tree> read_listing(const RepoId& repo, const Commit& commit) const;
    void write_listing(const RepoId& repo, const Commit& commit, const Tree& tree) const;
    /// This cache's own listings that are not as they were written; each carries a checksum.
    std::vector<std::pair<Commit, std::filesystem::path>> damaged_listings(const RepoId& repo) const;

    /// Removes huggingface_hub's `trees/` listing of a commit whose snapshot does not hold every listed file
    /// (its content moves to our own listing), so that Python finds a single downloaded build offline. It is
    /// only a cache of one request.
    void drop_partial_python_listing(const RepoId& repo, const Commit& commit) const;

    /// Makes `snapshots/<commit>/<path>` point at the blob: a relative link, or a copy where links are
    /// impossible.
    std::filesystem::path link_snapshot(const RepoId& repo, const Commit& commit,
                                        const TreeEntry& entry) const;

    /// Every kernel repository in the cache.
    std::vector<RepoId> repositories() const;

  private:
    /// The folders that a repository may have, the first one first.
    std::vector<std::filesystem::path> folders_of(const RepoId& repo) const;

    std::filesystem::path m_root;
    std::filesystem::path m_below;   // empty, or what is read where this one has nothing
    std::filesystem::path m_shared;  // empty for a shared one
};

}  // namespace kernels::hub
