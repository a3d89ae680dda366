#include <algorithm>
#include <map>
#include <mutex>
#include <thread>

#include "kernels/core/error.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/parallel.hpp"
#include "kernels/hub/cache_care.hpp"
#include "kernels/hub/fetch.hpp"
#include "snapshots.hpp"
#include "verified.hpp"

namespace kernels::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t sha256_digits = 64;
constexpr std::size_t sha1_digits = 40;

struct Task {
    RepoId repo;
    fs::path file;
    std::string etag;
    std::vector<std::pair<Commit, std::string>> used_as;
};

bool is_hash(std::string_view name) {
    return (name.size() == sha256_digits || name.size() == sha1_digits) &&
           name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// Why the file is not what its hash says; nothing when it is.
std::optional<std::string> fault_of(const Task& task, std::uint64_t size, const std::atomic<bool>* cancel) {
    auto hasher = task.etag.size() == sha256_digits ? Hasher(HashAlgorithm::sha256) : git_blob_hasher(size);
    try {
        const std::string actual = hash_file(std::move(hasher), task.file, cancel);
        if (actual == task.etag) return std::nullopt;
        return "its bytes have the hash " + actual + " and not " + task.etag;
    } catch (const Error& error) {
        if (error.code() == ErrorCode::interrupted) throw;
        return error.what();
    }
}

class Plan {
  public:
    Plan(const Cache& cache, VerifiedCache& result) : m_cache(cache), m_result(result) {}

    void add(const RepoId& repo) {
        const fs::path folder = m_cache.repo_folder(repo);
        std::map<std::string, std::vector<std::pair<Commit, std::string>>> uses;  // by blob
        for (const auto& commit : snapshots_of(folder)) {
            const fs::path snapshot = m_cache.snapshot_folder(repo, commit);
            const Tree listing = m_cache.read_listing(repo, commit).value_or(Tree{});
            for (const auto& path : files_below(snapshot)) {
                const auto* entry = listing.find(path);
                // What a killed process left beside its place (see Cache::unfinished_folder) is nobody's
                // file.
                if (entry == nullptr && path.ends_with(".incomplete")) continue;
                if (const auto blob = linked_blob(snapshot / path)) {
                    if (entry != nullptr && is_hash(*blob) && *blob != entry->etag()) {
                        m_result.damaged.push_back({repo,
                                                    snapshot / path,
                                                    "it is linked to the bytes of another file, " + *blob,
                                                    {{commit, path}},
                                                    {}});
                    } else {
                        uses[*blob].emplace_back(commit, path);
                    }
                    continue;
                }
                add_copy(repo, commit, snapshot, path, entry);
            }
        }
        for (const auto& name : files_below(folder / "blobs")) {
            if (name.ends_with(".incomplete")) continue;
            const fs::path blob = folder / "blobs" / name;
            if (!is_hash(name)) {
                m_result.unchecked.push_back(blob);
                continue;
            }
            auto used = uses.extract(name);
            tasks.push_back({repo, blob, name, used ? std::move(used.mapped()) : decltype(Task::used_as){}});
        }
        for (const auto& [commit, file] : m_cache.damaged_listings(repo))
            m_result.damaged.push_back(
                {repo, file, "this list of files is not as it was written", {}, commit});
        for (auto& [name, used] : uses) {
            m_result.damaged.push_back({repo, folder / "blobs" / name, "it is missing", std::move(used), {}});
        }
    }

    std::vector<Task> tasks;

  private:
    void add_copy(const RepoId& repo, const Commit& commit, const fs::path& snapshot, const std::string& path,
                  const TreeEntry* entry) {
        if (entry == nullptr) {
            m_result.unchecked.push_back(snapshot / path);
        } else {
            tasks.push_back({repo, snapshot / path, entry->etag(), {{commit, path}}});
        }
    }

    const Cache& m_cache;
    VerifiedCache& m_result;
};

}  // namespace

VerifiedCache verify(const Cache& cache, std::span<const RepoId> repos, const std::atomic<bool>* cancel,
                     const std::function<void(std::uint64_t)>& progress) {
    VerifiedCache result;
    Plan plan(cache, result);
    for (const auto& repo : repos)
        plan.add(repo);
    result.files = result.damaged.size();  // what needs no hash to be known for damaged

    Verified verified(cache);
    std::mutex mutex;
    std::exception_ptr failure;
    std::atomic<bool> has_failed{false};
    const int workers = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1U, 8U));
    run_parallel(plan.tasks.size(), workers, [&](std::size_t i) {
        if (has_failed) return;
        Task& task = plan.tasks[i];
        try {
            std::error_code error;
            const auto size = fs::file_size(task.file, error);
            auto fault = error ? std::optional(error.message()) : fault_of(task, size, cancel);
            if (fault) {
                verified.forget(task.repo, task.file);
            } else {
                verified.note(task.repo, task.file, task.etag);
            }
            const std::lock_guard lock(mutex);
            ++result.files;
            result.bytes += error ? 0 : size;
            if (progress && !error) progress(size);
            if (fault)
                result.damaged.push_back(
                    {task.repo, task.file, std::move(*fault), std::move(task.used_as), {}});
        } catch (...) {
            const std::lock_guard lock(mutex);
            if (!failure) failure = std::current_exception();
            has_failed = true;
        }
    });
    if (failure) std::rethrow_exception(failure);
    std::sort(result.damaged.begin(), result.damaged.end(),
              [](const DamagedFile& a, const DamagedFile& b) { return a.file < b.file; });
    return result;
}

void repair(const DamagedFile& damaged, const Hub& hub, Monitor* monitor) {
    if (damaged.listing_of) {
        hub.renew_tree(damaged.repo, *damaged.listing_of);
        return;
    }
    {
        // fetch() reads files again that are not known to be right.
        Verified verified(hub.cache());
        verified.forget(damaged.repo, damaged.file);
    }
    if (damaged.used_as.empty()) {
        std::error_code error;
        fs::remove(damaged.file, error);
        if (error) {
            throw Error(ErrorCode::failed, damaged.file.string() + ": cannot be removed: " + error.message());
        }
        return;
    }
    std::vector<FileRequest> files;
    for (const auto& [commit, path] : damaged.used_as) {
        const Tree tree = hub.tree(damaged.repo, commit);
        const auto* entry = tree.find(path);
        if (entry == nullptr) {
            throw Error(ErrorCode::not_found, damaged.repo.to_string() + "@" + commit.to_string() +
                                                  ": it has no file " + path + " on the Hub");
        }
        files.push_back({damaged.repo, commit, *entry});
    }
    fetch(files, hub.settings(), hub.http(), hub.cache(), monitor);
}

}  // namespace kernels::hub
