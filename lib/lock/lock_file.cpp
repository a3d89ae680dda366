#include "kernels/lock/lock_file.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/json_text.hpp"
#include "kernels/build/build_variant.hpp"
#include "kernels/core/digest.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"

namespace kernels::lock {
namespace {

using Json = nlohmann::ordered_json;

// One object of the file, with messages that say which.
class EntryReader {
  public:
    EntryReader(const Json& json, std::string where) : m_json(json), m_where(std::move(where)) {
        if (!json.is_object()) fail("is not an object");
    }

    void allow(std::initializer_list<std::string_view> keys) const {
        for (const auto& [key, value] : m_json.items()) {
            if (std::find(keys.begin(), keys.end(), key) == keys.end())
                fail("has the unknown field " + backquoted(key));
        }
    }
    bool has(const char* key) const { return m_json.contains(key); }
    const Json& at(const char* key) const {
        if (!has(key)) fail("lacks the field `" + std::string(key) + "`");
        return m_json.at(key);
    }
    std::string text(const char* key) const {
        if (!at(key).is_string()) fail("`" + std::string(key) + "` is not a text");
        return at(key).get<std::string>();
    }
    Commit commit(const char* key) const {
        const std::string value = text(key);
        if (!Commit::is_commit(value)) {
            fail("`" + std::string(key) +
                 "` is no commit (40 or 64 lower-case hexadecimal digits): " + backquoted(value));
        }
        return Commit::parse(value);
    }
    // The text made into something that refuses wrong ones.
    template <typename Make>
    auto checked(const char* key, Make make) const {
        auto value = text(key);
        try {
            return make(std::move(value));
        } catch (const Error& error) {
            fail("`" + std::string(key) + "`: " + error.what());
        }
    }
    RepoId repo(const char* key) const {
        return checked(key, [](const std::string& value) { return RepoId::parse(value); });
    }
    Revision revision(const char* key) const {
        return checked(key, [](std::string value) { return Revision(std::move(value)); });
    }
    const std::string& where() const { return m_where; }
    [[noreturn]] void fail(const std::string& why) const {
        throw Error(ErrorCode::failed, m_where + " " + why, "write the file anew with `kernels lock`");
    }

  private:
    const Json& m_json;
    std::string m_where;
};

LockedKernel parse_entry(const EntryReader& entry) {
    entry.allow({"dependency", "lock"});
    const EntryReader dependency(entry.at("dependency"), entry.where() + ": `dependency`");
    dependency.allow({"repo-id", "version", "revision"});
    const EntryReader lock(entry.at("lock"), entry.where() + ": `lock`");
    lock.allow({"commit"});
    const RepoId repo = dependency.repo("repo-id");
    if (dependency.has("version") == dependency.has("revision"))
        dependency.fail("needs a version or a revision, not both");
    if (dependency.has("revision")) {
        return {{repo, dependency.revision("revision")}, lock.commit("commit"), {}};
    }
    const Json& version = dependency.at("version");
    // The largest numbers of the JSON format would turn negative.
    if (!version.is_number_unsigned() ||
        version.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        dependency.fail("`version` is no version number");
    return {{repo, KernelVersion{version.get<std::int64_t>()}}, lock.commit("commit"), {}};
}

// The format before 0.17 does not say which version was asked for: the entry stands for its commit.
LockedKernel parse_legacy_entry(const EntryReader& entry) {
    entry.allow({"repo_id", "sha", "variants"});
    const Commit commit = entry.commit("sha");
    LockedKernel kernel{{entry.repo("repo_id"), Revision{commit.to_string()}}, commit, {}};
    const Json& variants = entry.at("variants");
    if (!variants.is_object()) entry.fail("`variants` is not an object");
    for (const auto& [name, value] : variants.items()) {
        const EntryReader variant(value, entry.where() + ": `variants`.`" + name + "`");
        if (!build::BuildVariant::try_parse(name)) variant.fail("is no build variant");
        variant.allow({"hash", "hash_type"});
        if (variant.text("hash_type") != "git_lfs_concat") variant.fail("has an unknown hash_type");
        std::string hash = variant.text("hash");
        constexpr std::string_view prefix = "sha256-";
        if (!hash.starts_with(prefix)) variant.fail("has a hash that is not sha256-…");
        hash.erase(0, prefix.size());
        try {
            kernel.legacy_hashes[name] = hash.size() == 64 ? from_hex(hash) : from_base64(hash);
        } catch (const Error&) {
            variant.fail("has a hash that is neither hexadecimal nor base64");
        }
        if (kernel.legacy_hashes[name].size() != 32) variant.fail("has a hash of the wrong length");
    }
    if (kernel.legacy_hashes.empty()) entry.fail("`variants` names no build");
    return kernel;
}

}  // namespace

Lock::Lock(std::vector<LockedKernel> kernels) : m_kernels(std::move(kernels)) {
    // By the repository's whole name, as the Python client: `a-b/k` stands before `a/k`.
    std::sort(m_kernels.begin(), m_kernels.end(), [](const LockedKernel& a, const LockedKernel& b) {
        const std::string name_a = a.dependency.repo.to_string();
        const std::string name_b = b.dependency.repo.to_string();
        return name_a != name_b ? name_a < name_b : a.dependency.reference < b.dependency.reference;
    });
    for (std::size_t i = 1; i < m_kernels.size(); ++i) {
        if (m_kernels[i - 1].dependency == m_kernels[i].dependency &&
            m_kernels[i - 1].commit != m_kernels[i].commit) {
            throw Error(ErrorCode::failed, m_kernels[i].dependency.to_string() + ": locked to two commits, " +
                                               m_kernels[i - 1].commit.to_string() + " and " +
                                               m_kernels[i].commit.to_string());
        }
    }
    m_kernels.erase(std::unique(m_kernels.begin(), m_kernels.end(),
                                [](const auto& a, const auto& b) { return a.dependency == b.dependency; }),
                    m_kernels.end());
}

Lock Lock::parse(std::string_view text, const std::string& origin) {
    Json json;
    try {
        json = parse_json<Json>(text, ErrorCode::failed, origin);
    } catch (const Json::exception& error) {
        if (text.find("<<<<<<< ") != std::string_view::npos) {
            throw Error(ErrorCode::failed, origin + ": it holds a merge that is not finished",
                        "finish it, or write the file anew with `kernels lock`");
        }
        throw Error(ErrorCode::failed, origin + ": not JSON: " + error.what(),
                    "write the file anew with `kernels lock`");
    }
    if (!json.is_array()) {
        throw Error(ErrorCode::failed, origin + ": not a list", "write the file anew with `kernels lock`");
    }
    std::vector<LockedKernel> kernels;
    for (std::size_t i = 0; i < json.size(); ++i) {
        const EntryReader entry(json[i], origin + ": entry " + std::to_string(i + 1));
        kernels.push_back(entry.has("sha") ? parse_legacy_entry(entry) : parse_entry(entry));
        for (std::size_t j = 0; j < i; ++j) {
            if (kernels[j].dependency == kernels[i].dependency) {
                entry.fail("locks " + kernels[i].dependency.to_string() + " a second time");
            }
        }
    }
    return Lock(std::move(kernels));
}

Lock Lock::load(const std::filesystem::path& file) {
    const auto text = read_file_if_exists(file);
    if (!text) {
        throw Error(ErrorCode::lock_missing, file.string() + ": there is no lock file",
                    "write it with `kernels lock`");
    }
    return parse(*text, file.string());
}

std::string Lock::to_json() const {
    Json list = Json::array();
    for (const auto& kernel : m_kernels) {
        Json dependency = {{"repo-id", kernel.dependency.repo.to_string()}};
        if (const auto* version = kernel.dependency.reference.version()) {
            dependency["version"] = version->number;
        } else {
            dependency["revision"] = kernel.dependency.reference.revision()->name();
        }
        Json entry;
        entry["dependency"] = std::move(dependency);
        entry["lock"]["commit"] = kernel.commit.to_string();
        list.push_back(std::move(entry));
    }
    return list.dump(2);
}

const LockedKernel* Lock::find(const RepoId& repo) const noexcept {
    const auto found = std::find_if(m_kernels.begin(), m_kernels.end(), [&](const LockedKernel& kernel) {
        return kernel.dependency.repo == repo;
    });
    return found == m_kernels.end() ? nullptr : &*found;
}

const LockedKernel* Lock::find(const Dependency& dependency) const noexcept {
    const auto found = std::find_if(m_kernels.begin(), m_kernels.end(), [&](const LockedKernel& kernel) {
        return kernel.dependency == dependency;
    });
    return found == m_kernels.end() ? nullptr : &*found;
}

Lock with_references(const Lock& lock, const std::vector<Dependency>& dependencies) {
    auto kernels = lock.kernels();
    for (auto& kernel : kernels) {
        if (kernel.legacy_hashes.empty()) continue;
        const auto wanted = std::find_if(
            dependencies.begin(), dependencies.end(),
            [&](const Dependency& dependency) { return dependency.repo == kernel.dependency.repo; });
        if (wanted != dependencies.end() && lock.find(*wanted) == nullptr) kernel.dependency = *wanted;
    }
    return Lock(std::move(kernels));
}

std::vector<std::string> missing_from(const Lock& lock, const std::vector<Dependency>& dependencies) {
    std::vector<std::string> missing;
    for (const auto& dependency : dependencies) {
        if (lock.find(dependency) != nullptr) continue;
        const auto* other = lock.find(dependency.repo);
        missing.push_back(dependency.to_string() +
                          (other == nullptr ? std::string(" is not locked")
                                            : " is locked as " + other->dependency.reference.describe()));
    }
    return missing;
}

std::vector<std::string> describe_difference(const Lock& before, const Lock& after) {
    std::vector<std::string> lines;
    for (const auto& kernel : after.kernels()) {
        const auto* old = before.find(kernel.dependency);
        const std::string name = kernel.dependency.to_string();
        if (old == nullptr) {
            lines.push_back("+ " + name + " " + kernel.commit.to_string());
        } else if (old->commit != kernel.commit) {
            lines.push_back("~ " + name + " " + old->commit.to_string() + " -> " + kernel.commit.to_string());
        }
    }
    for (const auto& kernel : before.kernels()) {
        if (after.find(kernel.dependency) == nullptr) {
            lines.push_back("- " + kernel.dependency.to_string() + " " + kernel.commit.to_string());
        }
    }
    return lines;
}

}  // namespace kernels::lock
