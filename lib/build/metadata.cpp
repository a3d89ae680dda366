#include "kernels/build/metadata.hpp"

#include <nlohmann/json.hpp>

#include "kernels/core/error.hpp"

namespace kernels::build {
namespace {

using Json = nlohmann::json;

// Reads keys of one JSON object and says where a wrong one is.
class Reader {
  public:
    Reader(const Json& json, const std::string& origin, std::string where)
        : m_json(json), m_origin(origin), m_where(std::move(where)) {
        if (!m_json.is_object()) fail("", "is not an object");
    }

    const Json* find(const char* key) const {
        const auto found = m_json.find(key);
        return found == m_json.end() || found->is_null() ? nullptr : &*found;
    }
    const Json& require(const char* key) const {
        const Json* value = find(key);
        if (value == nullptr) fail(key, "is missing");
        return *value;
    }
    std::string text(const char* key) const { return as_text(require(key), key); }
    std::optional<std::string> optional_text(const char* key) const {
        const Json* value = find(key);
        return value == nullptr ? std::nullopt : std::optional(as_text(*value, key));
    }
    std::vector<std::string> texts(const char* key) const {
        std::vector<std::string> out;
        if (const Json* value = find(key)) {
            if (!value->is_array()) fail(key, "is not a list");
            for (const auto& item : *value)
                out.push_back(as_text(item, key));
        }
        return out;
    }
    [[noreturn]] void fail(const std::string& key, const std::string& why) const {
        throw Error(ErrorCode::verification,
                    m_origin + ": " + m_where + (m_where.empty() || key.empty() ? "" : ".") + key +
                        (m_where.empty() && key.empty() ? "the document " : " ") + why);
    }

  private:
    std::string as_text(const Json& value, const char* key) const {
        if (!value.is_string()) fail(key, "is not a text");
        return value.get<std::string>();
    }
    const Json& m_json;
    const std::string& m_origin;
    std::string m_where;
};

Dependency parse_dependency(const Json& json, const std::string& origin) {
    const Reader reader(json, origin, "kernel-depends");
    const auto repo = RepoId::parse(reader.text("repo-id"));
    const Json* version = reader.find("version");
    const auto revision = reader.optional_text("revision");
    if ((version != nullptr) == revision.has_value())
        reader.fail("", "needs a version or a revision, not both");
    if (revision) return {repo, Revision{*revision}};
    if (!version->is_number_integer()) reader.fail("version", "is not an integer");
    return {repo, KernelVersion{version->get<std::int64_t>()}};
}

FilesDigest parse_digest(const Json& json, const std::string& origin) {
    const Reader reader(json, origin, "digest");
    FilesDigest digest;
    const auto algorithm = reader.text("algorithm");
    if (algorithm == "sha256") {
        digest.algorithm = HashAlgorithm::sha256;
    } else if (algorithm == "sha512") {
        digest.algorithm = HashAlgorithm::sha512;
    } else {
        reader.fail("algorithm", "is neither sha256 nor sha512");
    }
    const Json& files = reader.require("files");
    if (!files.is_object()) reader.fail("files", "is not an object");
    for (const auto& [path, hash] : files.items()) {
        if (!hash.is_string()) reader.fail("files", "holds a hash that is not a text");
        digest.files[path] = hash.get<std::string>();
    }
    return digest;
}

bool parse_dirty(const Json& provenance) {
    const auto dirty = [&](const char* key) {
        const auto part = provenance.is_object() ? provenance.find(key) : provenance.end();
        if (part == provenance.end() || !part->is_object()) return false;
        const auto flag = part->find("dirty");
        return flag != part->end() && flag->is_boolean() && flag->get<bool>();
    };
    return dirty("kernel-builder") || dirty("kernel");
}

}  // namespace

Metadata Metadata::parse(std::string_view text, const std::string& origin) {
    Json json;
    try {
        json = Json::parse(text);
    } catch (const Json::exception& error) {
        throw Error(ErrorCode::verification, origin + ": not JSON: " + error.what());
    }
    const Reader reader(json, origin, "");
    Metadata metadata;
    metadata.id = reader.text("id");
    metadata.name = reader.text("name");
    const Json& version = reader.require("version");
    if (!version.is_number_integer()) reader.fail("version", "is not an integer");
    metadata.version = version.get<std::int64_t>();
    metadata.kernels_minver = reader.optional_text("kernels-minver");
    metadata.license = reader.optional_text("license");
    metadata.upstream = reader.optional_text("upstream");
    metadata.source = reader.optional_text("source");
    metadata.python_depends = reader.texts("python-depends");
    if (const Json* depends = reader.find("kernel-depends")) {
        if (!depends->is_array()) reader.fail("kernel-depends", "is not a list");
        for (const auto& item : *depends)
            metadata.kernel_depends.push_back(parse_dependency(item, origin));
    }
    if (const Json* backend = reader.find("backend")) {
        const Reader inner(*backend, origin, "backend");
        metadata.backend_type = inner.text("type");
        metadata.archs = inner.texts("archs");
    }
    if (const Json* digest = reader.find("digest")) metadata.digest = parse_digest(*digest, origin);
    if (const Json* provenance = reader.find("provenance")) metadata.dirty = parse_dirty(*provenance);
    return metadata;
}

}  // namespace kernels::build
