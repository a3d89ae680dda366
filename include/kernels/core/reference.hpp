// Names of things on the Hub: repositories, commits, and references to a version or a revision.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace kernels {

/// A kernel repository, `org/name`. Only valid values exist: both parts are made of letters, digits, `-`, `_`
/// and `.`, start with none of `-` and `.`, and hold no `..` or `--` (the cache uses `--` between the parts).
class RepoId {
  public:
    /// Throws Error(usage) when `text` is no repository name.
    static RepoId parse(std::string_view text);

    const std::string& org() const noexcept { return m_org; }
    const std::string& name() const noexcept { return m_name; }
    std::string to_string() const { return m_org + "/" + m_name; }

    friend auto operator<=>(const RepoId&, const RepoId&) = default;

  private:
    RepoId(std::string org, std::string name) : m_org(std::move(org)), m_name(std::move(name)) {}
    std::string m_org;
    std::string m_name;
};

/// A git commit: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
class Commit {
  public:
    /// Throws Error(failed) when `text` is no full commit hash.
    static Commit parse(std::string_view text);
    static bool is_commit(std::string_view text) noexcept;

    const std::string& to_string() const noexcept { return m_hex; }
    /// The first digits, for messages.
    std::string brief() const { return m_hex.substr(0, 12); }

    friend auto operator<=>(const Commit&, const Commit&) = default;

  private:
    explicit Commit(std::string hex) : m_hex(std::move(hex)) {}
    std::string m_hex;
};

/// A kernel version: the integer N of the branch `vN`.
struct KernelVersion {
    std::int64_t number = 0;
    /// The branch that holds the version, "v3".
    std::string branch() const { return "v" + std::to_string(number); }
    /// The version that a branch holds: what follows the `v` is a number as Python reads it (`v01` and `v1_0`
    /// are 1 and 10; the Python client takes such branches). Nothing for other names.
    static std::optional<KernelVersion> of_branch(std::string_view name);
    friend auto operator<=>(const KernelVersion&, const KernelVersion&) = default;
};

/// A branch, tag or commit. Only names that git allows for a ref exist, up to 250 bytes: no `..`, no empty
/// part, no part that begins with `.` or ends in `.lock`, no blanks, control bytes or any of `~^:?*[\`, no
/// `@{`. So a revision joined to a folder or a URL stays below it, wherever it came from.
class Revision {
  public:
    /// Throws Error(usage) for any other name.
    explicit Revision(std::string name);

    const std::string& name() const noexcept { return m_name; }

    friend auto operator<=>(const Revision&, const Revision&) = default;

  private:
    std::string m_name;
};

/// Which state of a repository is meant: a version xor a revision. Versions sort before revisions.
class Reference {
  public:
    /// Throws Error(usage) for a negative version.
    Reference(KernelVersion version);                               // NOLINT(google-explicit-constructor)
    Reference(Revision revision) : m_value(std::move(revision)) {}  // NOLINT(google-explicit-constructor)

    /// Parses `3` or `v3` as a version, anything else as a revision. Throws Error(usage) as Revision does.
    static Reference parse(std::string_view text);

    const KernelVersion* version() const noexcept { return std::get_if<KernelVersion>(&m_value); }
    const Revision* revision() const noexcept { return std::get_if<Revision>(&m_value); }
    /// "v3", or the revision's name; parse(to_string()) gives the same value unless the revision itself looks
    /// like `v3`.
    std::string to_string() const;
    /// "version 3" or "revision main", for messages.
    std::string describe() const;

    friend auto operator<=>(const Reference&, const Reference&) = default;

  private:
    std::variant<KernelVersion, Revision> m_value;
};

/// A repository at a reference: one entry of a project's dependencies or of a kernel's `kernel-depends`.
struct Dependency {
    RepoId repo;
    Reference reference;
    /// "org/name@v3".
    std::string to_string() const { return repo.to_string() + "@" + reference.to_string(); }
    friend auto operator<=>(const Dependency&, const Dependency&) = default;
};

}  // namespace kernels
