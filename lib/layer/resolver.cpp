// Resolving through the Hub, and remembering what was resolved.
#include <algorithm>
#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>

#include "kernels/core/error.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/places.hpp"
#include "kernels/layer/resolve.hpp"
#include "kernels/lock/download.hpp"
#include "kernels/lock/publishers.hpp"
#include "kernels/lock/redirect.hpp"
#include "kernels/lock/resolve.hpp"

namespace kernels::layer {
namespace {

// The locked kernels that `first` needs, itself included: those that the lock knows. Each has to pass
// `before_fetch` first: a lock may have been written by hand.
lock::Lock part_of(const lock::Lock& whole, const lock::LockedKernel& first,
                   const lock::BeforeFetch& before_fetch, const hub::Hub& hub) {
    std::set<Dependency> seen{first.dependency};
    std::vector<lock::LockedKernel> kernels{first};
    for (std::size_t at = 0; at < kernels.size(); ++at) {
        const RepoId repo = kernels[at].dependency.repo;
        const Commit commit = kernels[at].commit;
        std::vector<Dependency> needed;
        try {
            before_fetch(repo);
            if (const auto redirect = lock::redirect_of(repo, commit, hub)) {
                needed.push_back(*redirect);
            } else {
                for (const auto& [dependency, variants] : lock::kernel_depends(repo, commit, hub))
                    needed.push_back(dependency);
            }
        } catch (const Error& error) {
            // Whether it is needed here, the download finds out.
            const bool is_withdrawn = error.code() == ErrorCode::not_found ||
                                      dynamic_cast<const lock::UntrustedPublisher*>(&error) != nullptr;
            if (at == 0 || !is_withdrawn) throw;
        }
        for (const auto& dependency : needed) {
            const auto* locked = whole.find(dependency);
            if (locked != nullptr && seen.insert(dependency).second) kernels.push_back(*locked);
        }
    }
    return lock::Lock(std::move(kernels));
}

// What a commit on the Hub becomes once it is known: the same layer, locked to it.
Repository locked_to(const std::shared_ptr<const lock::Lock>& lock, const Repository& repository) {
    const RepoId& repo = *repo_of(repository);
    const auto trust = trust_of(repository);
    if (is_function(repository)) return LockedFuncRepository(repo, member_name(repository), lock, trust);
    return LockedLayerRepository(repo, member_name(repository), lock, trust);
}

const Reference* reference_of(const Repository& repository) {
    return std::visit(
        [](const auto& one) -> const Reference* {
            if constexpr (requires { one.reference(); }) {
                return &one.reference();
            } else {
                return nullptr;
            }
        },
        repository);
}

const lock::Lock* lock_of(const Repository& repository) {
    return std::visit(
        [](const auto& one) -> const lock::Lock* {
            if constexpr (requires { one.lock(); }) {
                return one.lock();
            } else {
                return nullptr;
            }
        },
        repository);
}

}  // namespace

struct Resolver::State {
    // Not std::call_once: a look-up that throws would lock out all later ones where pthread_once cannot be
    // left by an exception, as under ThreadSanitizer.
    struct Slot {
        std::mutex mutex;
        std::optional<ResolvedKernel> kernel;  // nothing after a failure, so that the next call tries again
    };

    build::Target target;
    const hub::Cache& cache;
    const hub::Hub* hub;
    DeviceCheck check;
    Fetch fetch;
    std::mutex mutex;
    std::unordered_map<Repository, std::shared_ptr<Slot>> slots;
    std::set<RepoId> warned;               // whose publisher could not be checked
    std::set<std::filesystem::path> told;  // the builds whose remarks were told

    State(build::Target machine, const hub::Cache& where, const hub::Hub* through, DeviceCheck device_check,
          Fetch fetched)
        : target(std::move(machine)), cache(where), hub(through), check(device_check), fetch(fetched) {}

    // Once for all layers of a build.
    void tell_remarks(const ResolvedKernel& kernel) {
        const std::lock_guard lock(mutex);
        if (told.insert(kernel.folder).second) build::tell(kernel.remarks, kernel.describe());
    }

    // A kernel's code is to run in this process, so that its publisher matters wherever it comes from.
    void require_trusted(const RepoId& repo, const project::TrustPolicy& policy) {
        if (policy.allows(repo)) return;
        if (hub == nullptr || hub->settings().offline) {
            const std::lock_guard lock(mutex);
            if (!warned.insert(repo).second) return;
        }
        if (hub == nullptr) {
            log::warning(repo.to_string() +
                         ": no Hub is asked, so whether its publisher is trusted was not checked");
            return;
        }
        try {
            lock::require_trusted(repo, policy, *hub);
        } catch (const Error& error) {
            if (fetch == Fetch::yes || error.code() != ErrorCode::network) throw;
            throw Error(
                error.code(),
                repo.to_string() + ": whether its publisher is trusted cannot be checked: " + error.what(),
                "offline (HF_HUB_OFFLINE=1) what the cache holds is used with a warning; what you trust "
                "is named by trust-remote-code");
        }
    }

    ResolvedKernel look_up(const Repository& repository) {
        const RepoId* repo = repo_of(repository);
        if (repo == nullptr || local_kernel_folder(*repo))
            return layer::resolve(repository, target, cache, check);
        const auto policy = trust_of(repository);
        const auto require = [&](const RepoId& one) { require_trusted(one, policy); };
        const bool only_cached = hub == nullptr || fetch == Fetch::no || hub->settings().offline;
        if (!only_cached) require(*repo);
        auto kernel =
            only_cached ? layer::resolve(repository, target, cache, check) : downloaded(repository, require);
        if (only_cached) require(*repo);  // what is not there needs no trust
        // It may have moved to somebody else.
        if (kernel.repo != repo->to_string()) require(RepoId::parse(kernel.repo));
        return kernel;
    }

    ResolvedKernel downloaded(const Repository& repository, const lock::BeforeFetch& before_fetch) {
        const RepoId& repo = *repo_of(repository);
        if (const auto* reference = reference_of(repository)) {
            const auto lock = std::make_shared<const lock::Lock>(
                lock::resolve({{Dependency{repo, *reference}}, trust_of(repository), {}}, *hub).lock);
            download(*lock, {repo, *reference}, before_fetch);
            return layer::resolve(locked_to(lock, repository), target, cache, check);
        }
        try {
            return layer::resolve(repository, target, cache, check);
        } catch (const Error& error) {
            // Of a repository that is locked either nothing is here, or what another machine needs.
            const bool absent = error.code() == ErrorCode::not_found || error.code() == ErrorCode::no_build;
            if (!absent) throw;
        }
        const auto& lock = *lock_of(repository);
        const auto& locked = *lock.find(repo);
        download(part_of(lock, locked, before_fetch, *hub), locked.dependency, before_fetch);
        return layer::resolve(repository, target, cache, check);
    }

    // What is complete costs no request.
    void download(const lock::Lock& lock, const Dependency& wanted,
                  const lock::BeforeFetch& before_fetch) const {
        lock::DownloadOptions options;
        options.direct = {wanted};
        options.before_fetch = before_fetch;
        options.targets = {target};
        options.check_device = check == DeviceCheck::yes;
        // A layer is loaded from where its kernel is now.
        const auto result =
            lock::download(lock, lock::needed_kernels(lock, options, *hub), options, *hub, *hub);
        if (result.failures.empty()) return;
        const auto gravest = std::find_if(
            result.failures.begin(), result.failures.end(),
            [](const auto& failure) { return failure.second.code() == ErrorCode::verification; });
        throw Error((gravest == result.failures.end() ? result.failures.front() : *gravest).second);
    }
};

Resolver::Resolver(build::Target target, const hub::Cache& cache, DeviceCheck check)
    : m_state(std::make_unique<State>(std::move(target), cache, nullptr, check, Fetch::no)) {}

Resolver::Resolver(build::Target target, const hub::Hub& hub, DeviceCheck check, Fetch fetch)
    : m_state(std::make_unique<State>(std::move(target), hub.cache(), &hub, check, fetch)) {}

Resolver::~Resolver() = default;

ResolvedKernel Resolver::resolve(const Repository& repository) {
    std::shared_ptr<State::Slot> slot;
    {
        const std::lock_guard lock(m_state->mutex);
        auto& known = m_state->slots[repository];
        if (known == nullptr) known = std::make_shared<State::Slot>();
        slot = known;
    }
    const std::lock_guard lock(slot->mutex);
    if (!slot->kernel) {
        slot->kernel = m_state->look_up(repository);
        m_state->tell_remarks(*slot->kernel);
    }
    return *slot->kernel;
}

}  // namespace kernels::layer
