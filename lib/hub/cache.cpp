#include "kernels/hub/cache.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>

#include "blob_file.hpp"
#include "core/json_text.hpp"
#include "core/unique_name.hpp"
#include "kernels/core/digest.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/text.hpp"

namespace kernels::hub {
namespace {

namespace fs = std::filesystem;

std::string folder_name(std::string_view kind, const RepoId& repo) {
    return std::string(kind) + "--" + repo.org() + "--" + repo.name();
}

// Reads what huggingface_hub 2 keeps in trees/<commit>.json.
Tree parse_python_listing(const std::string& text) {
    const auto json = parse_json(text, ErrorCode::verification, "trees/");
    nlohmann::json list = nlohmann::json::array();
    for (const auto& [path, info] : json.at("files").items()) {
        nlohmann::json item = {
            {"type", "file"}, {"path", path}, {"size", info.at("size")}, {"oid", info.at("blob_id")}};
        if (const auto sha = info.find("lfs_sha256"); sha != info.end() && !sha->is_null()) {
            item["lfs"] = {{"oid", *sha}, {"size", info.value("lfs_size", info.at("size"))}};
        }
        list.push_back(std::move(item));
    }
    Tree tree;
    parse_tree(list.dump(), "trees/", tree);
    return tree;
}

// Our own listings end with the SHA-256 of the rest: a listing decides what bytes are right, so nothing else
// would show that it is damaged.
std::string sealed_listing(const Tree& tree) {
    const std::string files = tree_to_json(tree);
    return R"({"files":)" + files + R"(,"sha256":")" + hash_bytes(HashAlgorithm::sha256, files) + R"("})";
}

Tree parse_sealed_listing(const std::string& text, const std::string& origin) {
    const auto json = parse_json(text, ErrorCode::verification, origin);
    const std::string files = json.at("files").dump();
    if (json.at("sha256") != hash_bytes(HashAlgorithm::sha256, files))
        throw Error(ErrorCode::verification, origin + ": it is not what was written there");
    Tree tree;
    parse_tree(files, origin, tree);
    return tree;
}

void make_folders(const fs::path& folder) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) throw disk_error(folder, "cannot be made", error.value());
}

// In place, for a file that is a lock. Where that is how it is held (see FileLock) it says by whom, and
// stays.
void overwrite(const fs::path& lock, const std::string& text) {
    std::error_code error;
    const auto size = fs::file_size(lock, error);
    char first = '/';
    if (!error && size > 0) std::ifstream(lock).get(first);
    if (!error && first == '/') std::ofstream(lock) << text;
}

}  // namespace

Cache Cache::in_front_of(const Cache& below, fs::path root) {
    Cache cache(std::move(root));
    cache.m_below = below.m_root;
    return cache;
}

bool Cache::is_writable() const {
    std::error_code error;
    if (fs::exists(m_root / ".locks", error)) return ::access((m_root / ".locks").c_str(), W_OK) == 0;
    fs::path folder = fs::absolute(m_root).lexically_normal();
    while (!fs::exists(folder, error) && folder.has_relative_path())
        folder = folder.parent_path();
    return ::access(folder.c_str(), W_OK) == 0;
}

std::vector<fs::path> Cache::folders_of(const RepoId& repo) const {
    std::vector<fs::path> folders;
    for (const fs::path& root : {m_root, m_below}) {
        if (root.empty()) continue;
        for (const char* kind : {"kernels", "models"})
            folders.push_back(root / folder_name(kind, repo));
    }
    return folders;
}

fs::path Cache::repo_folder(const RepoId& repo) const {
    return m_root / folder_name("kernels", repo);
}

fs::path Cache::blob_path(const RepoId& repo, const std::string& etag) const {
    return repo_folder(repo) / "blobs" / etag;
}

fs::path Cache::lock_path(const RepoId& repo, const std::string& etag) const {
    return m_root / ".locks" / folder_name("kernels", repo) / (etag + ".lock");
}

fs::path Cache::content_lock_path(const std::string& etag) const {
    return (m_shared.empty() ? m_root : m_shared) / ".locks" / "content" / (etag + ".lock");
}

void Cache::note_content(const std::string& etag, const fs::path& file) const {
    if (!m_shared.empty()) overwrite(content_lock_path(etag), fs::absolute(file).string());
}

void Cache::note_moved_content(const std::string& etag, const fs::path& from, const fs::path& to) const {
    if (!m_shared.empty() && noted_content(etag) == fs::absolute(from))
        overwrite(content_lock_path(etag), fs::absolute(to).string());
}

std::optional<fs::path> Cache::noted_content(const std::string& etag) const {
    try {
        // Where files are locks there are other words in it.
        if (auto text = read_file_if_exists(content_lock_path(etag)); text && text->starts_with('/'))
            return *text;
    } catch (const Error& error) {
        log::debug(error.what());
    }
    return std::nullopt;
}

fs::path Cache::snapshot_folder(const RepoId& repo, const Commit& commit) const {
    return repo_folder(repo) / "snapshots" / commit.to_string();
}

// Where files are made. A process that is killed may leave one, and huggingface_hub takes what is in refs/
// and snapshots/ for a ref or a file.
fs::path Cache::unfinished_folder(const RepoId& repo) const {
    return repo_folder(repo) / "unfinished";
}

void Cache::write(const RepoId& repo, const fs::path& path, std::string_view bytes) const {
    make_folders(path.parent_path());
    make_folders(unfinished_folder(repo));
    AtomicFile file(path, unfinished_folder(repo));
    file.write(bytes);
    file.commit();
}

std::optional<Commit> Cache::read_ref(const RepoId& repo, const Reference& reference) const {
    for (const auto& folder : folders_of(repo)) {
        const auto text = read_file_if_exists(folder / "refs" / reference.to_string());
        if (text && Commit::is_commit(trimmed(*text))) return Commit::parse(trimmed(*text));
    }
    return std::nullopt;
}

void Cache::write_ref(const RepoId& repo, const Reference& reference, const Commit& commit) const {
    const fs::path path = repo_folder(repo) / "refs" / reference.to_string();
    // One of an older folder is not what Python looks at.
    if (const auto text = read_file_if_exists(path); text && trimmed(*text) == commit.to_string()) return;
    write(repo, path, commit.to_string());
}

std::map<std::int64_t, Commit> Cache::versions(const RepoId& repo) const {
    std::map<std::int64_t, Commit> found;
    for (const auto& folder : folders_of(repo)) {
        std::error_code error;
        for (const auto& entry : fs::directory_iterator(folder / "refs", error)) {
            const std::string name = entry.path().filename().string();
            const auto version = KernelVersion::of_branch(name);
            if (!version) continue;
            auto commit = read_ref(repo, *version);
            if (!commit) commit = read_ref(repo, Revision(name));
            if (commit) found.emplace(version->number, *commit);
        }
    }
    return found;
}

std::optional<fs::path> Cache::find_file(const RepoId& repo, const Commit& commit,
                                         const std::string& path) const {
    for (const auto& folder : folders_of(repo)) {
        const fs::path file = folder / "snapshots" / commit.to_string() / path;
        std::error_code error;
        if (fs::is_regular_file(file, error)) return file;
    }
    return std::nullopt;
}

bool Cache::is_older(const fs::path& file) const {
    const auto below = file.lexically_normal().lexically_relative(m_root.lexically_normal());
    return !below.empty() && below.begin()->native().starts_with("models--");
}

std::optional<Tree> Cache::read_listing(const RepoId& repo, const Commit& commit) const {
    const std::string file = commit.to_string() + ".json";
    for (const auto& folder : folders_of(repo)) {
        const fs::path ours = folder / "listings" / file;
        const fs::path pythons = folder / "trees" / file;
        try {
            if (const auto text = read_file_if_exists(ours))
                return parse_sealed_listing(*text, ours.string());
        } catch (const std::exception& error) {
            log::debug("ignored a damaged listing: " + std::string(error.what()));
        }
        try {
            if (const auto text = read_file_if_exists(pythons)) return parse_python_listing(*text);
        } catch (const std::exception& error) {
            log::debug("ignored a damaged listing: " + std::string(error.what()));
        }
    }
    return std::nullopt;
}

void Cache::write_listing(const RepoId& repo, const Commit& commit, const Tree& tree) const {
    make_folders(repo_folder(repo) / "snapshots");  // without it huggingface_hub calls the folder corrupted
    write(repo, repo_folder(repo) / "listings" / (commit.to_string() + ".json"), sealed_listing(tree));
}

std::vector<std::pair<Commit, fs::path>> Cache::damaged_listings(const RepoId& repo) const {
    std::vector<std::pair<Commit, fs::path>> damaged;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(repo_folder(repo) / "listings", error)) {
        const fs::path& file = entry.path();
        if (file.extension() != ".json" || !Commit::is_commit(file.stem().string())) continue;
        try {
            parse_sealed_listing(read_file(file), file.string());
        } catch (const std::exception& failure) {
            log::debug(failure.what());
            damaged.emplace_back(Commit::parse(file.stem().string()), file);
        }
    }
    return damaged;
}

void Cache::drop_partial_python_listing(const RepoId& repo, const Commit& commit) const {
    const fs::path path = repo_folder(repo) / "trees" / (commit.to_string() + ".json");
    const auto text = read_file_if_exists(path);
    if (!text) return;
    try {
        const Tree tree = parse_python_listing(*text);
        const bool complete = std::all_of(tree.files.begin(), tree.files.end(), [&](const TreeEntry& file) {
            return find_file(repo, commit, file.path).has_value();
        });
        if (complete) return;
        if (!fs::exists(repo_folder(repo) / "listings" / path.filename())) write_listing(repo, commit, tree);
    } catch (const std::exception&) {
        // A listing that nobody can read hinders as much as a partial one.
    }
    std::error_code ignored;
    fs::remove(path, ignored);
}

fs::path Cache::link_snapshot(const RepoId& repo, const Commit& commit, const TreeEntry& entry) const {
    const fs::path file = snapshot_folder(repo, commit) / entry.path;
    const fs::path blob = blob_path(repo, entry.etag());
    // As huggingface_hub has it, by the names: either folder may be a link, or be removed meanwhile.
    const fs::path target = blob.lexically_relative(file.parent_path());
    std::error_code error;
    if (fs::is_symlink(file, error) && fs::read_symlink(file, error) == target && fs::exists(file, error))
        return file;
    make_folders(file.parent_path());
    // Beside and renamed, so that a reader never meets a missing file where an old one was. Several threads
    // and processes may link the same file at once: each has a temporary name of its own.
    const fs::path temporary = unfinished_folder(repo) / unfinished_name();
    make_folders(temporary.parent_path());
    fs::create_symlink(target, temporary, error);
    if (error) {
        error.clear();
        fs::copy_file(blob, temporary, error);
        if (!error) error = sync_to_disk(temporary);
    }
    if (!error) fs::rename(temporary, file, error);
    if (error) {
        std::error_code ignored;
        fs::remove(temporary, ignored);
        throw write_error(file, error.value());
    }
    return file;
}

std::vector<RepoId> Cache::repositories() const {
    std::vector<RepoId> found;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(m_root, error)) {
        const std::string name = entry.path().filename().string();
        constexpr std::string_view prefix = "kernels--";
        if (!name.starts_with(prefix) || !entry.is_directory(error)) continue;
        const auto separator = name.find("--", prefix.size());
        if (separator == std::string::npos) continue;
        try {
            found.push_back(RepoId::parse(name.substr(prefix.size(), separator - prefix.size()) + "/" +
                                          name.substr(separator + 2)));
        } catch (const Error&) {
            log::debug(entry.path().string() + ": not a kernel repository's folder");
        }
    }
    std::sort(found.begin(), found.end());
    return found;
}

}  // namespace kernels::hub
