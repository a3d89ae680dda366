// The kernel repositories of a folder, as a Hub sees them: branches, commits, files with their hashes.
//
// Layout: FOLDER/<org>/<name>/<branch>/…files…, and beside the branches an optional `hub.json`
// {"private": bool, "gated": bool, "moved-to": "org/name"}. FOLDER/orgs.json tells which publishers are
// trusted: {"org": false}; an organization that it does not name is trusted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace kernels::hub_server {

/// A file or folder of a commit.
struct Entry {
    bool folder = false;
    std::string path;  ///< from the repository's root, with `/`
    std::uint64_t size = 0;
    std::string oid;     ///< git's object id; of an LFS file, that of its pointer
    std::string sha256;  ///< only of LFS files
    std::uint64_t pointer_size = 0;
    std::filesystem::path source;  ///< where the bytes are

    bool is_lfs() const noexcept { return !sha256.empty(); }
};

/// One state of a repository. `entries` is sorted by path and holds the folders too.
struct CommitTree {
    std::string commit;
    std::map<std::string, Entry> entries;
};

struct Repository {
    std::string id;                               ///< org/name
    std::map<std::string, std::string> branches;  ///< branch → commit
    std::map<std::string, CommitTree> commits;    ///< by commit
    bool is_private = false;
    bool gated = false;
    std::string moved_to;

    /// The commit of a branch name, `refs/heads/<branch>` or a commit; nullptr when there is none.
    const CommitTree* find(const std::string& revision) const;
};

/// All repositories of a folder; read once.
class Store {
  public:
    /// Reads and hashes FOLDER. Files whose name ends in .so, .bin, .dylib or .safetensors, and files larger
    /// than 1 MiB, are LFS files. Throws Error(failed) when the folder cannot be read.
    ///
    /// A commit is the SHA-1 over the repository's name and one line `<oid> <sha256 or -> <path>` a file: it
    /// depends on the content alone, and branches of equal content share it.
    explicit Store(const std::filesystem::path& folder);

    const Repository* find(const std::string& id) const;
    const std::map<std::string, Repository>& repositories() const noexcept { return m_repositories; }
    /// The LFS file with this hash in that repository; nullptr when there is none.
    const Entry* find_blob(const std::string& id, const std::string& sha256) const;
    bool has_organization(const std::string& org) const;
    /// What orgs.json says; true where it is silent.
    bool is_trusted(const std::string& org) const;

  private:
    std::map<std::string, Repository> m_repositories;
    std::map<std::string, bool> m_trusted;
};

}  // namespace kernels::hub_server
