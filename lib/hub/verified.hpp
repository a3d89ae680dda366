// Which files of the cache were found to have the right bytes, so that they need not be read again.
#pragma once

#include <atomic>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>

#include "kernels/hub/cache.hpp"

namespace kernels::hub {

/// Other programs write to the cache too, and some name a blob before they have looked at its bytes. So a
/// file counts as right only after it was hashed here, for as long as its size, inode and times stay the
/// same. The time of modification can be set back, that of the inode's change can not. Kept in
/// `<cache>/kernels--org--name/verified`, a line `SIZE MODIFIED CHANGED INODE ETAG PATH` each (nanoseconds);
/// who loses it, or copies the cache, hashes once more. Thread-safe.
class Verified {
  public:
    /// `cancel` ends hashing with Error(interrupted).
    explicit Verified(const Cache& cache, const std::atomic<bool>* cancel = nullptr)
        : m_cache(cache), m_cancel(cancel) {}
    ~Verified() { save(); }
    Verified(const Verified&) = delete;
    Verified& operator=(const Verified&) = delete;

    /// Whether `file` (a blob, or a snapshot's link to one) has the entry's bytes. Hashes it when that is not
    /// known; `hashed` tells.
    bool is_right(const RepoId& repo, const std::filesystem::path& file, const TreeEntry& entry,
                  bool& hashed);
    /// Remembers a file whose bytes were just checked.
    void note(const RepoId& repo, const std::filesystem::path& file, const std::string& etag);
    void forget(const RepoId& repo, const std::filesystem::path& file);
    /// Writes what is new. A cache that cannot be written stays as it is.
    void save() noexcept;

  private:
    struct Stamp {
        std::uint64_t size = 0;
        std::int64_t modified = 0;
        std::int64_t changed = 0;
        std::uint64_t inode = 0;
        std::string etag;  ///< what the bytes were found to be
        friend bool operator==(const Stamp&, const Stamp&) = default;
    };
    struct Known {
        std::map<std::string, Stamp> files;
        bool changed = false;
    };
    Known& known(const RepoId& repo);
    std::filesystem::path record(const RepoId& repo) const { return m_cache.repo_folder(repo) / "verified"; }
    std::string key(const std::filesystem::path& file) const;
    static std::optional<Stamp> stamp_of(const std::filesystem::path& file, const std::string& etag);

    const Cache& m_cache;
    const std::atomic<bool>* m_cancel;
    std::mutex m_mutex;
    std::map<RepoId, Known> m_repos;
};

}  // namespace kernels::hub
