// The hashes that lock files before 0.17 keep.
#include "choose.hpp"
#include "kernels/core/digest.hpp"
#include "kernels/core/text.hpp"
#include "kernels/lock/download.hpp"

namespace kernels::lock {

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
