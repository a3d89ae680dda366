// kernels.sum: what the files of every build of the locked kernels are. kernels.lock has no room for it.
#pragma once

#include <compare>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/build/build_variant.hpp"
#include "kernels/core/reference.hpp"
#include "kernels/hub/hub.hpp"
#include "kernels/lock/lock_file.hpp"

namespace kernels::lock {

/// A build of a commit, and the digest that pins all its files.
struct BuildSum {
    /// SHA-256, hexadecimal, over one line for each file, in the order of their paths:
    /// `sha256:HEX SIZE PATH\n` for a large file, `git:HEX SIZE PATH\n` for the others, with the path below
    /// the build's folder. The tree listing alone gives all of it.
    std::string digest;
    /// The first 8 digits of each file's hash, by path: they name the file at fault; the digest decides.
    std::map<std::string, std::string> marks;

    friend bool operator==(const BuildSum&, const BuildSum&) = default;
};

/// The sum of a build's files as a commit's tree lists them. Python bytecode does not count.
BuildSum sum_of(const hub::Tree& tree, const build::BuildVariant& variant);

/// The content of a kernels.sum: one line a build, sorted; see kernels.sum(5).
class SumFile {
  public:
    /// Throws Error(failed) that names `origin` and the line at fault.
    static SumFile parse(std::string_view text, const std::string& origin);
    /// The lines of a damaged file that can be read. Throws Error(verification) when two of them name
    /// different files for the same build, as after a merge that went wrong.
    static SumFile readable_part(std::string_view text, const std::string& origin);
    /// Reads the file; nothing when there is none.
    static std::optional<SumFile> load(const std::filesystem::path& file);
    std::string to_text() const;

    /// Adds every build that the tree of a commit has.
    void add(const RepoId& repo, const Commit& commit, const hub::Tree& tree);
    /// Adds the lines of `other` for builds that have none here.
    void keep(const SumFile& other) { m_sums.insert(other.m_sums.begin(), other.m_sums.end()); }
    const BuildSum* find(const RepoId& repo, const Commit& commit,
                         const build::BuildVariant& variant) const noexcept;
    /// Checks a build against its line. Throws Error(verification) that names the files at fault, and
    /// Error(lock_stale) when there is no line for the build.
    void require(const RepoId& repo, const Commit& commit, const build::BuildVariant& variant,
                 const hub::Tree& tree) const;

    /// The builds of which both files know the commit and have different digests, a line each. A commit's
    /// files never change, so there should be none.
    std::vector<std::string> conflicts_with(const SumFile& other) const;

    /// What makes `other` of this, a line each: the builds without a line here, and those that have one too
    /// many. Never empty.
    std::vector<std::string> changes_to(const SumFile& other) const;

    friend bool operator==(const SumFile&, const SumFile&) = default;

  private:
    struct Key {
        RepoId repo;
        Commit commit;
        build::BuildVariant variant;
        friend auto operator<=>(const Key&, const Key&) = default;
    };
    static std::pair<Key, BuildSum> parse_line(std::string_view line, const std::string& origin,
                                               std::size_t number);

    std::map<Key, BuildSum> m_sums;
};

/// The sums of all builds of all locked kernels. The trees are looked at in parallel and come from the cache
/// after resolve(), so nothing is downloaded. Throws what hub::Hub::tree throws.
SumFile sums_of(const Lock& lock, const hub::Hub& hub);

}  // namespace kernels::lock
