#include "kernels/layer/repository.hpp"

#include <type_traits>

#include "hash.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels::layer {
namespace {

namespace fs = std::filesystem;

// As written, but for what no file system minds: `./a`, `a/.` and `a//` are `a`.
fs::path plain(const fs::path& path) {
    fs::path result;
    for (const auto& part : path) {
        if (!part.empty() && part != ".") result /= part;
    }
    return result.empty() ? fs::path(".") : result;
}

template <Member member>
std::string member_text(const NamedMember<member>& named) {
    return (member == Member::layer ? "layer " : "function ") + backquoted(named.name());
}

std::shared_ptr<const lock::Lock> read_lock(const fs::path& file) {
    return std::make_shared<const lock::Lock>(
        lock::Lock::load(file.empty() ? project::load(".").lock_file() : file));
}

std::size_t hash_of(const RepoId& repo) noexcept {
    return hash_all(repo.org(), repo.name());
}

std::size_t hash_of(const TrustRemoteCode& trust) noexcept {
    std::size_t hash = hash_all(trust.everyone, trust.is_list);
    for (const auto& repo : trust.repositories)
        hash = hash_all(hash, hash_of(repo));
    return hash;
}

std::size_t hash_of(const Reference& reference) noexcept {
    const auto* version = reference.version();
    return version != nullptr ? hash_all(version->number) : hash_all(reference.revision()->name());
}

}  // namespace

template <Member member>
NamedMember<member>::NamedMember(std::string name) : m_name(std::move(name)) {
    if (!m_name.empty()) return;
    throw Error(ErrorCode::usage, member == Member::layer
                                      ? "the layer's name in the kernel repository is empty"
                                      : "the function's name in the kernel is empty");
}

template <Member member>
HubRepository<member>::HubRepository(RepoId repo, std::string name, Reference reference,
                                     TrustRemoteCode trust)
    : NamedMember<member>(std::move(name)),
      m_repo(std::move(repo)),
      m_reference(std::move(reference)),
      m_trust(std::move(trust)) {}

template <Member member>
HubRepository<member>::HubRepository(std::string_view repo, std::string name, Reference reference,
                                     TrustRemoteCode trust)
    : HubRepository(RepoId::parse(repo), std::move(name), std::move(reference), std::move(trust)) {}

template <Member member>
std::string HubRepository<member>::describe() const {
    return backquoted(m_repo.to_string()) + " (" + m_reference.describe() + "), " + member_text(*this);
}

template <Member member>
LocalRepository<member>::LocalRepository(const fs::path& path, std::string name)
    : NamedMember<member>(std::move(name)), m_path(plain(path)) {
    if (path.empty()) throw Error(ErrorCode::usage, "the path of a local kernel is empty");
}

template <Member member>
std::string LocalRepository<member>::describe() const {
    return backquoted(m_path.string()) + ", " + member_text(*this);
}

template <Member member>
LockedRepository<member>::LockedRepository(std::string_view repo, std::string name, const fs::path& lock_file,
                                           TrustRemoteCode trust)
    : LockedRepository(RepoId::parse(repo), std::move(name), read_lock(lock_file), std::move(trust)) {
    entry();
}

template <Member member>
LockedRepository<member>::LockedRepository(RepoId repo, std::string name,
                                           std::shared_ptr<const lock::Lock> lock, TrustRemoteCode trust)
    : NamedMember<member>(std::move(name)),
      m_repo(std::move(repo)),
      m_lock(std::move(lock)),
      m_trust(std::move(trust)) {}

template <Member member>
const lock::LockedKernel& LockedRepository<member>::entry() const {
    if (m_lock == nullptr) {
        throw Error(ErrorCode::lock_missing, m_repo.to_string() + ": the project has no kernels.lock",
                    "write it with `kernels lock`");
    }
    if (const auto* locked = m_lock->find(m_repo)) return *locked;
    throw Error(ErrorCode::lock_stale, m_repo.to_string() + ": not locked",
                "add it to the dependencies and lock it with `kernels lock`");
}

template <Member member>
std::string LockedRepository<member>::describe() const {
    const auto* locked = m_lock != nullptr ? m_lock->find(m_repo) : nullptr;
    return backquoted(m_repo.to_string()) + " (" +
           (locked != nullptr ? "locked to " + locked->commit.to_string() : "not locked") + "), " +
           member_text(*this);
}

template <Member member>
bool LockedRepository<member>::equals(const LockedRepository& other) const noexcept {
    const bool same_lock =
        m_lock == other.m_lock || (m_lock != nullptr && other.m_lock != nullptr && *m_lock == *other.m_lock);
    return same_lock && this->name() == other.name() && m_repo == other.m_repo && m_trust == other.m_trust;
}

template class NamedMember<Member::layer>;
template class NamedMember<Member::function>;
template class HubRepository<Member::layer>;
template class HubRepository<Member::function>;
template class LocalRepository<Member::layer>;
template class LocalRepository<Member::function>;
template class LockedRepository<Member::layer>;
template class LockedRepository<Member::function>;

std::string describe(const Repository& repository) {
    return std::visit([](const auto& one) { return one.describe(); }, repository);
}

const std::string& member_name(const Repository& repository) noexcept {
    return std::visit([](const auto& one) -> const std::string& { return one.name(); }, repository);
}

bool is_function(const Repository& repository) noexcept {
    return std::visit([](const auto& one) { return one.is_function; }, repository);
}

const RepoId* repo_of(const Repository& repository) noexcept {
    return std::visit(
        [](const auto& one) -> const RepoId* {
            if constexpr (requires { one.repo(); }) {
                return &one.repo();
            } else {
                return nullptr;
            }
        },
        repository);
}

TrustRemoteCode trust_of(const Repository& repository) {
    return std::visit(
        [](const auto& one) {
            if constexpr (requires { one.trust_remote_code(); }) {
                return one.trust_remote_code();
            } else {
                return TrustRemoteCode(true);
            }
        },
        repository);
}

}  // namespace kernels::layer

using namespace kernels::layer;

template <Member member>
std::size_t std::hash<HubRepository<member>>::operator()(const HubRepository<member>& one) const noexcept {
    return hash_all(one.name(), hash_of(one.repo()), hash_of(one.reference()),
                    hash_of(one.trust_remote_code()));
}

template <Member member>
std::size_t std::hash<LocalRepository<member>>::operator()(
    const LocalRepository<member>& one) const noexcept {
    return hash_all(one.name(), std::filesystem::hash_value(one.path()));
}

template <Member member>
std::size_t std::hash<LockedRepository<member>>::operator()(
    const LockedRepository<member>& one) const noexcept {
    const auto* locked = one.lock() != nullptr ? one.lock()->find(one.repo()) : nullptr;
    return hash_all(one.name(), hash_of(one.repo()), hash_of(one.trust_remote_code()),
                    locked != nullptr ? locked->commit.to_string() : std::string());
}

template struct std::hash<LayerRepository>;
template struct std::hash<FuncRepository>;
template struct std::hash<LocalLayerRepository>;
template struct std::hash<LocalFuncRepository>;
template struct std::hash<LockedLayerRepository>;
template struct std::hash<LockedFuncRepository>;
