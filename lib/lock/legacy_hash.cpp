// Lock files before 0.17: the hashes that they keep, and which version a commit of theirs is.
#include <set>

#include "choose.hpp"
#include "kernels/core/digest.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/text.hpp"
#include "kernels/lock/download.hpp"
#include "kernels/lock/publishers.hpp"
#include "kernels/lock/resolve.hpp"

namespace kernels::lock {
namespace {

// What the builds of a commit say; empty where that cannot be had, which whoever locks the commit tells.
std::set<std::int64_t> stated_versions(const LockedKernel& kernel, const BeforeFetch& before_fetch,
                                       const hub::Hub& hub) {
    const RepoId& repo = kernel.dependency.repo;
    std::set<std::int64_t> versions;
    try {
        if (before_fetch && !hub.cache().read_listing(repo, kernel.commit)) before_fetch(repo);
        for (const auto& name : hub.tree(repo, kernel.commit).folders("build")) {
            if (const auto metadata = asked_metadata(repo, kernel.commit, name, before_fetch, hub))
                versions.insert(metadata->version);
        }
    } catch (const Error& error) {
        if (error.code() == ErrorCode::interrupted) throw;
        log::debug(error.what());
        return {};
    }
    versions.erase(0);  // says nothing
    return versions;
}

}  // namespace

Lock pinned_by(const Lock& lock, const std::vector<Dependency>& dependencies,
               const project::TrustPolicy& trust, const hub::Hub& hub) {
    const BeforeFetch before_fetch = [&](const RepoId& repo) { require_trusted(repo, trust, hub); };
    std::vector<LockedKernel> kernels;
    const Lock all = with_references(lock, dependencies);
    for (const auto& kernel : all.kernels()) {
        const auto* version = kernel.dependency.reference.version();
        if (version != nullptr && !kernel.legacy_hashes.empty()) {
            const auto stated = stated_versions(kernel, before_fetch, hub);
            if (!stated.empty() && !stated.contains(version->number)) {
                log::warning(kernel.dependency.repo.to_string() +
                             ": kernels.lock, of a version before 0.17, has a commit of version " +
                             std::to_string(*stated.begin()) + ", and the project names version " +
                             std::to_string(version->number) + ": `kernels lock` locks it anew");
                LockedKernel as_it_is = kernel;
                as_it_is.dependency.reference = Revision(kernel.commit.to_string());
                kernels.push_back(std::move(as_it_is));
                continue;
            }
        }
        kernels.push_back(kernel);
    }
    return Lock(std::move(kernels));
}

std::string legacy_variant_hash(const hub::Tree& tree, const build::BuildVariant& variant) {
    Hasher hasher(HashAlgorithm::sha256);
    for (const auto& file : tree.below("build/" + variant.to_string())) {
        hasher.update(file.path);
        hasher.update(from_hex(file.etag()));
    }
    return hasher.finish();
}

void require_legacy_hash(const LockedKernel& kernel, const build::BuildVariant& variant,
                         const hub::Tree& tree) {
    if (kernel.legacy_hashes.empty()) return;
    const auto known = kernel.legacy_hashes.find(variant.to_string());
    if (known == kernel.legacy_hashes.end()) {
        throw Error(ErrorCode::lock_stale,
                    name_of(kernel) + ": kernels.lock, of a version before 0.17, has no hash for " +
                        variant.to_string(),
                    "`kernels lock` writes the file anew");
    }
    if (legacy_variant_hash(tree, variant) == known->second) return;
    throw Error(
        ErrorCode::verification,
        name_of(kernel) + ": the files of " + variant.to_string() +
            " are not the ones that kernels.lock names",
        "find out why before you trust them; without its kernels.lock the project can be locked anew");
}

}  // namespace kernels::lock
