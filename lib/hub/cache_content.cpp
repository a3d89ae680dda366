#include <algorithm>
#include <map>

#include "kernels/hub/cache_care.hpp"

#include <sys/stat.h>

#include "core/unique_name.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"
#include "snapshots.hpp"

namespace kernels::hub {
namespace {

namespace fs = std::filesystem;

CachedSnapshot snapshot_at(const fs::path& folder, const Commit& commit) {
    CachedSnapshot snapshot{commit, {}, {}, 0, 0};
    std::set<std::string> builds;
    for (const auto& file : files_below(folder)) {
        ++snapshot.files;
        std::error_code error;
        const auto size = fs::file_size(folder / file, error);
        if (!error) snapshot.bytes += size;
        const auto parts = split(file, '/');
        if (parts.size() > 2 && parts[0] == "build") builds.emplace(parts[1]);
    }
    snapshot.builds.assign(builds.begin(), builds.end());
    return snapshot;
}

CachedRepository repository_at(const Cache& cache, const RepoId& repo) {
    CachedRepository found{repo, cache.repo_folder(repo), {}, 0, 0, 0};
    const auto refs = refs_of(found.folder);
    for (const auto& commit : snapshots_of(found.folder)) {
        auto snapshot = snapshot_at(cache.snapshot_folder(repo, commit), commit);
        for (const auto& [name, value] : refs) {
            if (value == commit.to_string()) snapshot.refs.push_back(name);
        }
        found.snapshots.push_back(std::move(snapshot));
    }
    for (const auto& file : files_below(found.folder)) {
        struct stat status {};
        const fs::path path = found.folder / file;
        if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
        const auto size = static_cast<std::uint64_t>(status.st_size);
        found.bytes += size;
        if (path.extension() == ".incomplete") found.partial += size;
        found.changed = std::max<std::int64_t>(found.changed, status.st_mtime);
    }
    return found;
}

}  // namespace

std::vector<std::string> files_below(const fs::path& folder) {
    std::vector<std::string> files;
    std::error_code error;
    for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
        // A link to a folder is a file here: it is not followed.
        if (at->is_symlink(error) || !at->is_directory(error))
            files.push_back(at->path().lexically_relative(folder).generic_string());
    }
    std::sort(files.begin(), files.end());
    return files;
}

std::vector<Commit> snapshots_of(const fs::path& repo_folder) {
    std::vector<Commit> commits;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(repo_folder / "snapshots", error)) {
        const std::string name = entry.path().filename().string();
        if (Commit::is_commit(name)) commits.push_back(Commit::parse(name));
    }
    std::sort(commits.begin(), commits.end());
    return commits;
}

std::map<std::string, std::string> refs_of(const fs::path& repo_folder) {
    std::map<std::string, std::string> refs;
    for (const auto& name : files_below(repo_folder / "refs")) {
        if (is_unfinished(fs::path(name).filename().native())) continue;
        if (const auto text = read_file_if_exists(repo_folder / "refs" / name))
            refs.emplace(name, trimmed(*text));
    }
    return refs;
}

std::optional<std::string> linked_blob(const fs::path& file) {
    std::error_code error;
    const fs::path target = fs::read_symlink(file, error);
    if (error || target.parent_path().filename() != "blobs") return std::nullopt;
    return target.filename().string();
}

std::vector<CachedRepository> content_of(const Cache& cache) {
    std::vector<CachedRepository> found;
    for (const auto& repo : cache.repositories())
        found.push_back(repository_at(cache, repo));
    return found;
}

}  // namespace kernels::hub
