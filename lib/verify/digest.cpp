#include "kernels/verify/digest.hpp"

#include <set>

#include "kernels/core/digest.hpp"
#include "kernels/core/error.hpp"

namespace kernels::verify {
namespace {

namespace fs = std::filesystem;

bool counts(const std::string& path) {
    return path != "metadata.json" && path != "metadata.json.sigstore" && !path.ends_with(".pyc") &&
           path.find("__pycache__") == std::string::npos;
}

}  // namespace

std::vector<std::string> digest_violations(const build::Metadata& metadata, const fs::path& folder,
                                           const std::map<std::string, std::string>& sha256,
                                           const std::atomic<bool>* cancel) {
    std::vector<std::string> violations;
    if (!metadata.digest) return violations;
    const auto hash_of = [&](const std::string& path, const fs::path& file) {
        if (metadata.digest->algorithm == HashAlgorithm::sha256) {
            if (const auto known = sha256.find(path); known != sha256.end()) return known->second;
        }
        return hash_file(metadata.digest->algorithm, file, cancel);
    };
    std::set<std::string> seen;
    std::error_code error;
    for (auto entry = fs::recursive_directory_iterator(folder, error);
         entry != fs::recursive_directory_iterator(); entry.increment(error)) {
        if (!entry->is_regular_file(error)) continue;
        const std::string path = entry->path().lexically_relative(folder).generic_string();
        if (!counts(path)) continue;
        seen.insert(path);
        const auto expected = metadata.digest->files.find(path);
        if (expected == metadata.digest->files.end()) {
            violations.push_back(path + ": not in the digest of metadata.json");
        } else if (to_base64(from_hex(hash_of(path, entry->path()))) != expected->second) {
            violations.push_back(path + ": differs from the digest of metadata.json");
        }
    }
    // A folder that cannot be listed in full ends the loop; additional files could hide there.
    if (error) throw Error(ErrorCode::failed, folder.string() + ": " + error.message());
    for (const auto& [path, hash] : metadata.digest->files) {
        if (!seen.contains(path))
            violations.push_back(path + ": missing, the digest of metadata.json names it");
    }
    return violations;
}

void require_digest(const build::Metadata& metadata, const fs::path& variant_folder, const std::string& what,
                    const std::map<std::string, std::string>& sha256, const std::atomic<bool>* cancel) {
    auto violations = digest_violations(metadata, variant_folder, sha256, cancel);
    if (violations.empty()) return;
    throw Error(ErrorCode::verification, what + ": its files are not the ones that its metadata.json names",
                "tell the publisher; the build is not usable", std::move(violations));
}

}  // namespace kernels::verify
