// metadata.json of a build variant.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/digest.hpp"
#include "kernels/core/reference.hpp"

namespace kernels::build {

/// The digest of a build's files: base64 hashes by path relative to the variant's folder.
struct FilesDigest {
    HashAlgorithm algorithm = HashAlgorithm::sha256;
    std::map<std::string, std::string> files;
};

/// What a build says about itself.
struct Metadata {
    std::string id;    ///< the op namespace, for example "_activation_cpu_abc1234"
    std::string name;  ///< the kernel's name, "activation"
    std::int64_t version = 0;
    std::optional<std::string> kernels_minver;
    std::optional<std::string> license;
    /// URLs of git repositories, written as the Python client writes them; what is none is refused.
    std::optional<std::string> upstream;
    std::optional<std::string> source;
    std::vector<std::string> python_depends;
    std::vector<Dependency> kernel_depends;
    std::string backend_type;        ///< "cpu", "cuda", ...
    std::vector<std::string> archs;  ///< device targets, "9.0", "gfx942"; empty when not stated
    std::optional<FilesDigest> digest;
    bool dirty = false;  ///< built from a source tree with uncommitted changes

    /// Reads the JSON text. Throws Error(verification) that names `origin` and the key at fault.
    static Metadata parse(std::string_view json, const std::string& origin);
};

}  // namespace kernels::build
