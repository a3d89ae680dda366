// The files of a commit, as the Hub lists them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/digest.hpp"

namespace kernels::hub {

/// One file. Values come from the network: parse_tree refuses entries that could leave their folder.
struct TreeEntry {
    std::string path;
    std::uint64_t size = 0;
    std::string oid;                        ///< git blob SHA-1, hexadecimal
    std::optional<std::string> lfs_sha256;  ///< for large files, hexadecimal

    /// The blob's name in the cache: the SHA-256 of a large file, else the git oid.
    const std::string& etag() const noexcept { return lfs_sha256 ? *lfs_sha256 : oid; }
    /// A hasher whose result must equal etag().
    Hasher hasher() const { return lfs_sha256 ? Hasher(HashAlgorithm::sha256) : git_blob_hasher(size); }

    /// Whether the bytes are the file's.
    bool matches(std::string_view bytes) const;

    friend bool operator==(const TreeEntry&, const TreeEntry&) = default;
};

/// All files of a commit, sorted by path.
struct Tree {
    std::vector<TreeEntry> files;

    /// The file at a path; nullptr when there is none.
    const TreeEntry* find(std::string_view path) const noexcept;
    /// The files below `folder` (no slash at its end).
    std::vector<TreeEntry> below(std::string_view folder) const;
    /// The names of the folders directly below `folder`.
    std::vector<std::string> folders(std::string_view folder) const;
};

/// Adds one page of the Hub's JSON tree listing; finish_tree() comes after the last one. Throws
/// Error(network) when it is no such listing and Error(verification) when an entry's path is absolute,
/// contains `..`, control characters or is overlong, its size is none, or the entry is no plain file.
void add_tree_page(std::string_view json, const std::string& origin, Tree& tree);
/// Sorts the files of all pages. Throws Error(verification) when two of them cannot be there at once (`a`
/// twice, or `a` and `a/b`).
void finish_tree(const std::string& origin, Tree& tree);
/// A listing of one page.
void parse_tree(std::string_view json, const std::string& origin, Tree& tree);
/// The listing in the Hub's own form; parse_tree reads it back.
std::string tree_to_json(const Tree& tree);

}  // namespace kernels::hub
