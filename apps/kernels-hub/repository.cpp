#include "repository.hpp"

#include <nlohmann/json.hpp>
#include <system_error>

#include "kernels/core/digest.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"

namespace kernels::hub_server {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::uint64_t lfs_threshold = std::uint64_t{1} << 20U;

bool is_lfs(const std::string& path, std::uint64_t size) {
    for (const auto* suffix : {".so", ".bin", ".dylib", ".safetensors"}) {
        if (path.ends_with(suffix)) return true;
    }
    return size > lfs_threshold;
}

// What git stores for an LFS file.
std::string lfs_pointer(const std::string& sha256, std::uint64_t size) {
    return "version https://git-lfs.github.com/spec/v1\noid sha256:" + sha256 + "\nsize " +
           std::to_string(size) + "\n";
}

std::string blob_oid(const std::string& bytes) {
    Hasher hasher = git_blob_hasher(bytes.size());
    hasher.update(bytes);
    return to_hex(hasher.finish());
}

Entry file_entry(const fs::path& source, std::string path) {
    Entry entry;
    entry.path = std::move(path);
    entry.source = source;
    entry.size = fs::file_size(source);
    if (is_lfs(entry.path, entry.size)) {
        entry.sha256 = hash_file(HashAlgorithm::sha256, source);
        const std::string pointer = lfs_pointer(entry.sha256, entry.size);
        entry.pointer_size = pointer.size();
        entry.oid = blob_oid(pointer);
    } else {
        entry.oid = git_blob_oid(source);
    }
    return entry;
}

CommitTree read_branch(const std::string& id, const fs::path& root) {
    CommitTree tree;
    std::map<std::string, std::string> folders;  // path → what is below it
    std::string all = id + "\n";
    for (const auto& item : fs::recursive_directory_iterator(root)) {
        const std::string path = item.path().lexically_relative(root).generic_string();
        if (item.is_directory()) {
            folders.emplace(path, "");
        } else if (item.is_regular_file()) {
            tree.entries.emplace(path, file_entry(item.path(), path));
        }
    }
    for (const auto& [path, entry] : tree.entries) {
        const std::string line = entry.oid + " " + (entry.is_lfs() ? entry.sha256 : "-") + " " + path + "\n";
        all += line;
        for (auto parent = fs::path(path).parent_path(); !parent.empty(); parent = parent.parent_path())
            folders[parent.generic_string()] += line;
    }
    for (const auto& [path, content] : folders) {
        if (content.empty()) continue;  // git knows no empty folders
        Entry entry;
        entry.folder = true;
        entry.path = path;
        entry.oid = hash_bytes(HashAlgorithm::sha1, content);
        tree.entries.emplace(path, std::move(entry));
    }
    tree.commit = hash_bytes(HashAlgorithm::sha1, all);
    return tree;
}

Json read_json(const fs::path& path) {
    const auto text = read_file_if_exists(path);
    if (!text) return Json::object();
    try {
        Json json = Json::parse(*text);
        if (!json.is_object()) throw Error(ErrorCode::failed, path.string() + ": it is no JSON object");
        return json;
    } catch (const Json::exception& error) {
        throw Error(ErrorCode::failed, path.string() + ": " + error.what());
    }
}

Repository read_repository(const std::string& id, const fs::path& folder) {
    Repository repository;
    repository.id = id;
    for (const auto& item : fs::directory_iterator(folder)) {
        if (!item.is_directory()) continue;
        CommitTree tree = read_branch(id, item.path());
        repository.branches[item.path().filename().string()] = tree.commit;
        repository.commits.emplace(tree.commit, std::move(tree));
    }
    const fs::path settings = folder / "hub.json";
    const Json json = read_json(settings);
    try {
        repository.is_private = json.value("private", false);
        repository.gated = json.value("gated", false);
        repository.moved_to = json.value("moved-to", "");
    } catch (const Json::exception& error) {
        throw Error(ErrorCode::failed, settings.string() + ": " + error.what());
    }
    return repository;
}

}  // namespace

const CommitTree* Repository::find(const std::string& revision) const {
    constexpr std::string_view heads = "refs/heads/";
    const std::string name = revision.starts_with(heads) ? revision.substr(heads.size()) : revision;
    const auto branch = branches.find(name);
    const auto found = commits.find(branch != branches.end() ? branch->second : revision);
    return found == commits.end() ? nullptr : &found->second;
}

Store::Store(const fs::path& folder) {
    if (!fs::is_directory(folder)) {
        throw Error(ErrorCode::failed, folder.string() + ": no folder",
                    "name one that holds <org>/<name>/<branch>");
    }
    try {
        for (const auto& org : fs::directory_iterator(folder)) {
            if (!org.is_directory()) continue;
            for (const auto& name : fs::directory_iterator(org.path())) {
                if (!name.is_directory()) continue;
                const std::string id = org.path().filename().string() + "/" + name.path().filename().string();
                m_repositories.emplace(id, read_repository(id, name.path()));
            }
        }
    } catch (const fs::filesystem_error& error) {
        throw Error(ErrorCode::failed, folder.string() + ": " + error.code().message());
    }
    const fs::path organizations = folder / "orgs.json";
    const Json listed = read_json(organizations);
    for (const auto& [org, trusted] : listed.items()) {
        if (!trusted.is_boolean()) {
            throw Error(ErrorCode::failed,
                        organizations.string() + ": " + org + " is neither true nor false");
        }
        m_trusted[org] = trusted.get<bool>();
    }
}

const Repository* Store::find(const std::string& id) const {
    const auto found = m_repositories.find(id);
    return found == m_repositories.end() ? nullptr : &found->second;
}

const Entry* Store::find_blob(const std::string& id, const std::string& sha256) const {
    const Repository* repository = find(id);
    if (repository == nullptr) return nullptr;
    for (const auto& [commit, tree] : repository->commits) {
        for (const auto& [path, entry] : tree.entries) {
            if (entry.is_lfs() && entry.sha256 == sha256) return &entry;
        }
    }
    return nullptr;
}

bool Store::has_organization(const std::string& org) const {
    if (m_trusted.contains(org)) return true;
    const auto first = m_repositories.lower_bound(org + "/");
    return first != m_repositories.end() && first->first.starts_with(org + "/");
}

bool Store::is_trusted(const std::string& org) const {
    const auto found = m_trusted.find(org);
    return found == m_trusted.end() || found->second;
}

}  // namespace kernels::hub_server
