// kernels.lock: which commit each dependency of a project means. The bytes are the Python client's.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/reference.hpp"

namespace kernels::lock {

/// Hashes of a build in the format before 0.17: SHA-256, raw bytes, by variant name (see
/// legacy_variant_hash).
using LegacyHashes = std::map<std::string, std::string>;

struct LockedKernel {
    Dependency dependency;
    Commit commit;
    LegacyHashes legacy_hashes;  ///< empty in the present format, which has none

    friend bool operator==(const LockedKernel&, const LockedKernel&) = default;
};

/// A lock file's content, sorted by repository, then version, then revision; each dependency once.
class Lock {
  public:
    Lock() = default;
    /// Throws Error(failed) when two entries lock the same dependency to different commits.
    explicit Lock(std::vector<LockedKernel> kernels);

    /// Reads the JSON text, in the present format or in the one before 0.17. Throws Error(failed) that names
    /// `origin` and the entry at fault: unknown fields, duplicates and bad commits are refused, as the Python
    /// client refuses them.
    static Lock parse(std::string_view json, const std::string& origin);
    /// Reads the file. Throws Error(lock_missing) when there is none.
    static Lock load(const std::filesystem::path& file);

    /// The present format, byte for byte as the Python client writes it: indent 2, no newline at the end.
    std::string to_json() const;

    const std::vector<LockedKernel>& kernels() const noexcept { return m_kernels; }
    /// The entry of a repository; with several versions of it, the first in order. nullptr when it is not
    /// locked.
    const LockedKernel* find(const RepoId& repo) const noexcept;
    const LockedKernel* find(const Dependency& dependency) const noexcept;

    friend bool operator==(const Lock&, const Lock&) = default;

  private:
    std::vector<LockedKernel> m_kernels;
};

/// Entries of the format before 0.17, which name a commit only, as entries for what the project asks of their
/// repository now; the rest as it is. Their commits stay locked that way.
Lock with_references(const Lock& lock, const std::vector<Dependency>& dependencies);

/// What a project asks for and the lock does not have, one line each; empty when the lock has all of it. Only
/// the lock is looked at, not what its kernels need (see uncovered()).
std::vector<std::string> missing_from(const Lock& lock, const std::vector<Dependency>& dependencies);

/// The difference between two locks for people, one line an entry: "+ org/name@v1 abc…", "- …", "~ …: old →
/// new".
std::vector<std::string> describe_difference(const Lock& before, const Lock& after);

}  // namespace kernels::lock
