#include "kernels/build/metadata.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "core/json_text.hpp"
#include "git_url.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

// What is accepted is what the Python client accepts (tests/contract/build/test_metadata.py): unknown keys
// are for later versions, everything known has its exact type, and only optional keys may be null.

namespace kernels::build {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 8> backend_types = {"cann",   "cpu",  "cuda", "metal",
                                                           "neuron", "rocm", "tpu",  "xpu"};

// Reads keys of one JSON object and says where a wrong one is.
class Reader {
  public:
    Reader(const Json& json, const std::string& origin, std::string where)
        : m_json(json), m_origin(origin), m_where(std::move(where)) {
        if (!m_json.is_object()) fail("", "is not an object");
    }

    bool has(const char* key) const { return m_json.contains(key); }
    // For optional keys: null counts as absent.
    const Json* find(const char* key) const {
        const auto found = m_json.find(key);
        return found == m_json.end() || found->is_null() ? nullptr : &*found;
    }
    const Json& require(const char* key) const {
        const auto found = m_json.find(key);
        if (found == m_json.end()) fail(key, "is missing");
        return *found;
    }
    std::string text(const char* key) const { return as_text(require(key), key); }
    std::optional<std::string> optional_text(const char* key) const {
        const Json* value = find(key);
        return value == nullptr ? std::nullopt : std::optional(as_text(*value, key));
    }
    bool flag(const char* key) const {
        const Json& value = require(key);
        if (!value.is_boolean()) fail(key, "is neither true nor false");
        return value.get<bool>();
    }
    std::int64_t count(const char* key) const {
        const Json& value = require(key);
        const bool fits = value.is_number_unsigned() && value.get<std::uint64_t>() <= INT64_MAX;
        if (!fits) fail(key, "is not a whole number of 0 or more");
        return value.get<std::int64_t>();
    }
    std::vector<std::string> texts(const char* key) const {
        const Json& value = require(key);
        if (!value.is_array()) fail(key, "is not a list");
        std::vector<std::string> out;
        for (const auto& item : value)
            out.push_back(as_text(item, key));
        return out;
    }
    // The key's text made into something that refuses wrong ones.
    template <typename Make>
    auto checked(const char* key, Make make) const {
        auto value = text(key);
        try {
            return make(std::move(value));
        } catch (const Error& error) {
            fail(key, "is wrong: " + std::string(error.what()));
        }
    }
    [[noreturn]] void fail(const std::string& key, const std::string& why) const {
        const std::string dot = m_where.empty() || key.empty() ? "" : ".";
        const std::string what = m_where.empty() && key.empty() ? "the document" : m_where + dot + key;
        throw Error(ErrorCode::verification, m_origin + ": " + what + " " + why);
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

// A lower-case letter, then letters, digits and dashes, the last of them no dash.
bool is_kernel_name(std::string_view name) {
    const auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    return name.size() >= 2 && letter(name.front()) && name.back() != '-' &&
           std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || digit(c) || c == '-'; });
}

// Three numbers with dots between them.
bool is_release(std::string_view version) {
    const auto parts = split(version, '.');
    return parts.size() == 3 && std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
               return !part.empty() && part.size() <= 9 &&
                      part.find_first_not_of("0123456789") == std::string_view::npos;
           });
}

bool is_git_object(std::string_view id) {
    return (id.size() == 40 || id.size() == 64) &&
           id.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

Dependency parse_dependency(const Json& json, const std::string& origin) {
    const Reader reader(json, origin, "kernel-depends");
    for (const auto& [key, value] : json.items()) {
        if (key != "repo-id" && key != "version" && key != "revision")
            reader.fail("", "has an unknown key " + backquoted(key));
    }
    const RepoId repo =
        reader.checked("repo-id", [](const std::string& text) { return RepoId::parse(text); });
    const bool by_version = reader.find("version") != nullptr;
    const bool by_revision = reader.find("revision") != nullptr;
    if (by_version == by_revision) reader.fail("", "needs either a version or a revision");
    if (by_version) return {repo, KernelVersion{reader.count("version")}};
    return {repo, reader.checked("revision", [](std::string text) { return Revision(std::move(text)); })};
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

// Whether the git state at `key` says that the tree had uncommitted changes.
bool git_dirty(const Reader& reader) {
    const char* commit = reader.has("commit") ? "commit" : "sha";  // older metadata say sha
    if (!is_git_object(reader.text(commit))) reader.fail(commit, "is no git object");
    return reader.flag("dirty");
}

bool parse_dirty(const Json& json, const std::string& origin) {
    const Reader provenance(json, origin, "provenance");
    const Reader builder(provenance.require("kernel-builder"), origin, "provenance.kernel-builder");
    builder.text("version");
    bool dirty = false;
    if (builder.has("commit") || builder.has("sha") || builder.has("dirty")) dirty = git_dirty(builder);
    if (const Json* kernel = provenance.find("kernel"))
        dirty = git_dirty(Reader(*kernel, origin, "provenance.kernel")) || dirty;
    return dirty;
}

}  // namespace

Metadata Metadata::parse(std::string_view text, const std::string& origin) {
    Json json;
    try {
        json = parse_json<Json>(text, ErrorCode::verification, origin);
    } catch (const Json::parse_error& error) {
        throw Error(ErrorCode::verification,
                    origin + ": not JSON: wrong at byte " + std::to_string(error.byte));
    }
    const Reader reader(json, origin, "");
    Metadata metadata;
    metadata.id = reader.text("id");
    metadata.name = reader.text("name");
    if (!is_kernel_name(metadata.name))
        reader.fail("name", "is no kernel name: " + backquoted(metadata.name));
    metadata.version = reader.count("version");
    metadata.kernels_minver = reader.optional_text("kernels-minver");
    if (metadata.kernels_minver && !is_release(*metadata.kernels_minver))
        reader.fail("kernels-minver", "is no release: " + backquoted(*metadata.kernels_minver));
    metadata.license = reader.text("license");
    for (auto [key, url] :
         {std::pair("upstream", &metadata.upstream), std::pair("source", &metadata.source)}) {
        if (reader.find(key) != nullptr) *url = reader.checked(key, normalized_git_url);
    }
    metadata.python_depends = reader.texts("python-depends");
    if (reader.has("kernel-depends")) {
        const Json& depends = reader.require("kernel-depends");
        if (!depends.is_array()) reader.fail("kernel-depends", "is not a list");
        for (const auto& item : depends)
            metadata.kernel_depends.push_back(parse_dependency(item, origin));
    }
    const Reader backend(reader.require("backend"), origin, "backend");
    metadata.backend_type = backend.text("type");
    if (std::find(backend_types.begin(), backend_types.end(), metadata.backend_type) == backend_types.end())
        backend.fail("type", "is no backend: " + backquoted(metadata.backend_type));
    if (backend.find("archs") != nullptr) metadata.archs = backend.texts("archs");
    if (const Json* digest = reader.find("digest")) metadata.digest = parse_digest(*digest, origin);
    if (const Json* provenance = reader.find("provenance")) metadata.dirty = parse_dirty(*provenance, origin);
    return metadata;
}

}  // namespace kernels::build
