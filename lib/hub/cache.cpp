#include "kernels/hub/cache.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <nlohmann/json.hpp>

#include "blob_file.hpp"
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
    const auto json = nlohmann::json::parse(text);
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

// A name that outlives a loss of power must not outlive its bytes.
std::error_code sync_to_disk(const fs::path& file) {
    const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    const bool is_synced = fd >= 0 && ::fsync(fd) == 0;
    const std::error_code error(is_synced ? 0 : errno, std::generic_category());
    if (fd >= 0) ::close(fd);
    return error;
}

void make_folders(const fs::path& folder) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) {
        throw Error(ErrorCode::failed, folder.string() + ": cannot be made: " + error.message(),
                    "choose a cache that can be written with --cache or HF_HUB_CACHE");
    }
}

}  // namespace

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
    return m_root / ".locks" / "content" / (etag + ".lock");
}

fs::path Cache::snapshot_folder(const RepoId& repo, const Commit& commit) const {
    return repo_folder(repo) / "snapshots" / commit.to_string();
}

std::optional<Commit> Cache::read_ref(const RepoId& repo, const Reference& reference) const {
    for (const char* kind : {"kernels", "models"}) {
        const auto text =
            read_file_if_exists(m_root / folder_name(kind, repo) / "refs" / reference.to_string());
        if (text && Commit::is_commit(trimmed(*text))) return Commit::parse(trimmed(*text));
    }
    return std::nullopt;
}

void Cache::write_ref(const RepoId& repo, const Reference& reference, const Commit& commit) const {
    if (read_ref(repo, reference) == commit) return;
    const fs::path path = repo_folder(repo) / "refs" / reference.to_string();
    make_folders(path.parent_path());
    write_file(path, commit.to_string());
}

std::map<std::int64_t, Commit> Cache::versions(const RepoId& repo) const {
    std::map<std::int64_t, Commit> found;
    for (const char* kind : {"kernels", "models"}) {
        std::error_code error;
        for (const auto& entry : fs::directory_iterator(m_root / folder_name(kind, repo) / "refs", error)) {
            const std::string name = entry.path().filename().string();
            std::int64_t number = 0;
            const auto [end, status] = std::from_chars(name.data() + 1, name.data() + name.size(), number);
            if (!name.starts_with('v') || status != std::errc() || end != name.data() + name.size()) continue;
            if (const auto commit = read_ref(repo, KernelVersion{number})) found.emplace(number, *commit);
        }
    }
    return found;
}

std::optional<fs::path> Cache::find_file(const RepoId& repo, const Commit& commit,
                                         const std::string& path) const {
    for (const char* kind : {"kernels", "models"}) {
        const fs::path file = m_root / folder_name(kind, repo) / "snapshots" / commit.to_string() / path;
        std::error_code error;
        if (fs::is_regular_file(file, error)) return file;
    }
    return std::nullopt;
}

std::optional<Tree> Cache::read_listing(const RepoId& repo, const Commit& commit) const {
    const std::string file = commit.to_string() + ".json";
    for (const char* kind : {"kernels", "models"}) {
        const fs::path ours = m_root / folder_name(kind, repo) / "listings" / file;
        const fs::path pythons = m_root / folder_name(kind, repo) / "trees" / file;
        try {
            if (const auto text = read_file_if_exists(ours)) {
                Tree tree;
                parse_tree(*text, ours.string(), tree);
                return tree;
            }
            if (const auto text = read_file_if_exists(pythons)) return parse_python_listing(*text);
        } catch (const std::exception& error) {
            log::debug("ignored a damaged listing: " + std::string(error.what()));
        }
    }
    return std::nullopt;
}

void Cache::write_listing(const RepoId& repo, const Commit& commit, const Tree& tree) const {
    const fs::path path = repo_folder(repo) / "listings" / (commit.to_string() + ".json");
    make_folders(path.parent_path());
    make_folders(repo_folder(repo) / "snapshots");  // without it huggingface_hub calls the folder corrupted
    write_file(path, tree_to_json(tree));
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
    const fs::path target = fs::relative(blob, file.parent_path());
    std::error_code error;
    if (fs::is_symlink(file, error) && fs::read_symlink(file, error) == target && fs::exists(file, error))
        return file;
    make_folders(file.parent_path());
    // Beside and renamed, so that a reader never meets a missing file where an old one was. Several threads
    // and processes may link the same file at once: each has a temporary name of its own.
    static std::atomic<unsigned> counter{0};
    const fs::path temporary =
        file.string() + "." + std::to_string(::getpid()) + "-" + std::to_string(counter++) + ".incomplete";
    fs::remove(temporary, error);
    fs::create_symlink(target, temporary, error);
    if (error) {
        error.clear();
        fs::copy_file(blob, temporary, fs::copy_options::overwrite_existing, error);
        if (!error) error = sync_to_disk(temporary);
    }
    if (!error) fs::rename(temporary, file, error);
    if (error) {
        std::error_code ignored;
        fs::remove(temporary, ignored);
        throw disk_error(file, "cannot be written", error.value());
    }
    return file;
}

std::vector<RepoId> Cache::repositories() const {
    std::vector<RepoId> found;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(m_root, error)) {
        const std::string name = entry.path().filename().string();
        constexpr std::string_view prefix = "kernels--";
        if (!name.starts_with(prefix)) continue;
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
