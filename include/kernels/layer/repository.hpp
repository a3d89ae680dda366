// Where the kernel for a layer comes from: the six kinds of repository that a mapping can name.
//
//                     a layer (class of the kernel's layers)    a function (of the kernel's package)
//   from the Hub      LayerRepository                           FuncRepository
//   from a folder     LocalLayerRepository                      LocalFuncRepository
//   as locked         LockedLayerRepository                     LockedFuncRepository
//
// All are values, to copy, compare and hash (so is Repository, any of them); making one asks no network.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "kernels/core/reference.hpp"
#include "kernels/lock/lock_file.hpp"
#include "kernels/project/project.hpp"

namespace kernels::layer {

/// Which repositories' code may be used without their publisher being trusted: `true`, `false` or a list,
/// `{"org/name", "org/other"}`.
using TrustRemoteCode = project::TrustPolicy;

/// What a repository is asked for: a class of its `layers`, or a function of its package.
enum class Member { layer, function };

/// What all six have: the name of the layer or function in the kernel repository. Not a type for mappings.
template <Member member>
class NamedMember {
  public:
    static constexpr bool is_function = member == Member::function;
    /// The class; LayerRepository and its kin alone have it.
    const std::string& layer_name() const noexcept requires(member == Member::layer) { return m_name; }
    /// The function; FuncRepository and its kin alone have it.
    const std::string& func_name() const noexcept requires(member == Member::function) { return m_name; }
    /// The name, whatever it is of.
    const std::string& name() const noexcept { return m_name; }
    friend bool operator==(const NamedMember&, const NamedMember&) = default;

  protected:
    /// Throws Error(usage) for an empty name.
    explicit NamedMember(std::string name);

  private:
    std::string m_name;
};

/// A kernel repository of the Hub at a version xor a revision: `KernelVersion{1}` or `Revision{"main"}`.
/// Equal when name, repository, reference and trust are.
template <Member member>
class HubRepository : public NamedMember<member> {
  public:
    /// Throws Error(usage) for an empty name.
    HubRepository(RepoId repo, std::string name, Reference reference, TrustRemoteCode trust = {});
    /// Throws Error(usage) when `repo` is no `org/name`, and for an empty name.
    HubRepository(std::string_view repo, std::string name, Reference reference, TrustRemoteCode trust = {});

    /// As given; nothing is resolved here.
    const RepoId& repo() const noexcept { return m_repo; }
    const Reference& reference() const noexcept { return m_reference; }
    const TrustRemoteCode& trust_remote_code() const noexcept { return m_trust; }
    /// "`org/name` (version 1), layer `SiluAndMul`"
    std::string describe() const;
    friend bool operator==(const HubRepository&, const HubRepository&) = default;

  private:
    RepoId m_repo;
    Reference m_reference;
    TrustRemoteCode m_trust;
};

/// A folder that holds builds, or a `build` folder with them. Equal when name and path are, the path as
/// written but for what means nothing: `./a`, `a/.` and `a//` are `a`; `b/../a` is not.
template <Member member>
class LocalRepository : public NamedMember<member> {
  public:
    /// Throws Error(usage) for an empty path or name. Whether the folder exists shows when it is used.
    LocalRepository(const std::filesystem::path& path, std::string name);

    /// Without what means nothing, not made absolute.
    const std::filesystem::path& path() const noexcept { return m_path; }
    /// "`path/to/kernel`, layer `SiluAndMul`"
    std::string describe() const;
    friend bool operator==(const LocalRepository&, const LocalRepository&) = default;

  private:
    std::filesystem::path m_path;
};

/// At the commit that a project's kernels.lock names. Equal when name, repository, trust and whole lock are.
template <Member member>
class LockedRepository : public NamedMember<member> {
  public:
    /// Reads `lock_file`; without one, that of the project that the current directory belongs to. Throws
    /// Error(lock_missing) when there is none, Error(lock_stale) when it does not hold the repository,
    /// Error(project_file) when there is no project, and what lock::Lock::load does.
    LockedRepository(std::string_view repo, std::string name, const std::filesystem::path& lock_file = {},
                     TrustRemoteCode trust = {});
    /// For a project whose lock has been read, or which has none yet (nullptr): then entry() says so.
    LockedRepository(RepoId repo, std::string name, std::shared_ptr<const lock::Lock> lock,
                     TrustRemoteCode trust = {});

    /// As given.
    const RepoId& repo() const noexcept { return m_repo; }
    const TrustRemoteCode& trust_remote_code() const noexcept { return m_trust; }
    /// nullptr for a project without one.
    const lock::Lock* lock() const noexcept { return m_lock.get(); }
    /// The repository's entry. Throws Error(lock_missing) or Error(lock_stale) when there is none.
    const lock::LockedKernel& entry() const;
    /// "`org/name` (locked to 0123…), layer `SiluAndMul`", or "(not locked)"; never throws for that.
    std::string describe() const;
    friend bool operator==(const LockedRepository& left, const LockedRepository& right) {
        return left.equals(right);
    }

  private:
    bool equals(const LockedRepository& other) const noexcept;
    RepoId m_repo;
    std::shared_ptr<const lock::Lock> m_lock;
    TrustRemoteCode m_trust;
};

using LayerRepository = HubRepository<Member::layer>;
using FuncRepository = HubRepository<Member::function>;
using LocalLayerRepository = LocalRepository<Member::layer>;
using LocalFuncRepository = LocalRepository<Member::function>;
using LockedLayerRepository = LockedRepository<Member::layer>;
using LockedFuncRepository = LockedRepository<Member::function>;

/// Any of the six.
using Repository = std::variant<LayerRepository, FuncRepository, LocalLayerRepository, LocalFuncRepository,
                                LockedLayerRepository, LockedFuncRepository>;

/// What the repository's own describe() says.
std::string describe(const Repository& repository);
/// The layer's or function's name in the kernel repository.
const std::string& member_name(const Repository& repository) noexcept;
/// Whether it is one of the three that name a function.
bool is_function(const Repository& repository) noexcept;
/// nullptr for local ones.
const RepoId* repo_of(const Repository& repository) noexcept;
/// Local ones are trusted.
TrustRemoteCode trust_of(const Repository& repository);

}  // namespace kernels::layer

template <kernels::layer::Member member>
struct std::hash<kernels::layer::HubRepository<member>> {
    std::size_t operator()(const kernels::layer::HubRepository<member>& repository) const noexcept;
};
template <kernels::layer::Member member>
struct std::hash<kernels::layer::LocalRepository<member>> {
    std::size_t operator()(const kernels::layer::LocalRepository<member>& repository) const noexcept;
};
template <kernels::layer::Member member>
struct std::hash<kernels::layer::LockedRepository<member>> {
    std::size_t operator()(const kernels::layer::LockedRepository<member>& repository) const noexcept;
};
