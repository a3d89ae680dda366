#include "kernels/hub/fetch.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <exception>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "blob_file.hpp"
#include "kernels/core/cancel.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/file_lock.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/parallel.hpp"
#include "kernels/hub/hub.hpp"
#include "transfer.hpp"
#include "verified.hpp"

namespace kernels::hub {
namespace {

namespace fs = std::filesystem;

// Waiting is said even where nobody watches the progress: it may last.
class Silent final : public Monitor {
    void planned(std::size_t, std::uint64_t) override {}
    void started(const FileRequest&) override {}
    void progressed(const FileRequest&, std::uint64_t) override {}
    void finished(const FileRequest&, Source) override {}
    void waiting(const FileRequest& file, int pid) override {
        log::notice(waiting_for(pid) + ", which downloads " + file.entry.path);
    }
};

bool has_size(const fs::path& file, const TreeEntry& entry) {
    std::error_code error;
    return fs::file_size(file, error) == entry.size && !error;
}

// Takes the bytes of a file that is on this machine already, hashing them as if they came from the network.
bool take_from(const fs::path& donor, IncompleteBlob& blob, std::uint64_t size,
               const std::atomic<bool>* cancel) {
    std::error_code error;
    if (fs::file_size(donor, error) != size || error) return false;
    std::ifstream in(donor, std::ios::binary);
    std::vector<char> buffer(std::size_t{1} << 20U);
    blob.restart();
    while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0) {
        check_cancelled(cancel);
        blob.write({buffer.data(), static_cast<std::size_t>(in.gcount())});
    }
    try {
        blob.commit();
        return true;
    } catch (const Error& failure) {
        if (failure.code() != ErrorCode::verification) throw;
        log::info(donor.string() + ": its bytes are not what they should be; fetching the file anew");
        return false;
    }
}

// Of a listing that only an older folder has, or huggingface_hub's `trees/`, a copy of our own.
void keep_listing(const RepoId& repo, const Commit& commit, const Cache& cache) {
    std::error_code error;
    if (fs::exists(cache.repo_folder(repo) / "listings" / (commit.to_string() + ".json"), error)) return;
    if (const auto tree = cache.read_listing(repo, commit)) cache.write_listing(repo, commit, *tree);
}

bool are_the_same(const fs::path& a, const fs::path& b) {
    std::error_code error;
    return fs::equivalent(a, b, error) && !error;
}

// What all files of one fetch share. Thread-safe.
class Fetch {
  public:
    Fetch(const Settings& settings, HttpClient& http, const Cache& cache, Monitor& monitor)
        : m_settings(settings),
          m_http(http),
          m_cache(cache),
          m_monitor(monitor),
          m_verified(cache, settings.cancel) {}

    /// Brings one file; `twin` has the same bytes.
    FetchedFile one(const FileRequest& file, const std::optional<fs::path>& twin) {
        const auto present = m_cache.find_file(file.repo, file.commit, file.entry.path);
        if (!present || !m_cache.is_older(*present)) return bring(file, present, {}, twin);
        // What only an older folder has is copied, so that the Python client finds it too.
        std::error_code unreadable;
        const fs::path older = fs::canonical(*present, unreadable);
        try {
            if (!m_cache.is_writable()) return bring(file, present, {}, twin);
            auto fetched = bring(file, {}, older, twin);
            keep_listing(file.repo, file.commit, m_cache);
            return fetched;
        } catch (const Error& error) {
            bool hashed = false;
            if (error.code() != ErrorCode::failed || !has_size(older, file.entry) ||
                !m_verified.is_right(file.repo, *present, file.entry, hashed))
                throw;
            log::info(older.string() + ": it is used where it is, as it cannot be copied: " + error.what());
            return {file, *present, 0, hashed, file.entry.lfs_sha256.value_or("")};
        }
    }

  private:
    /// `present` is where the cache has it, `older` where a folder has it that Python no longer looks at.
    FetchedFile bring(const FileRequest& file, const std::optional<fs::path>& present,
                      const std::optional<fs::path>& older, const std::optional<fs::path>& twin);

    /// The same bytes in other repositories' folders.
    std::vector<fs::path> copies_elsewhere(const FileRequest& file) {
        std::vector<fs::path> found;
        for (const auto& repo : *repositories()) {
            const fs::path blob = m_cache.blob_path(repo, file.entry.etag());
            if (repo != file.repo && has_size(blob, file.entry)) found.push_back(blob);
        }
        return found;
    }

    /// Locks one file's bytes. After one wait that was too long nobody waits again: a process that holds many
    /// locks and does nothing would cost the timeout for each.
    std::unique_ptr<FileLock> lock(const fs::path& path, const std::function<void(int)>& waiting) {
        auto how = lock_options(m_settings, waiting);
        if (m_waited_in_vain) how.timeout = std::chrono::seconds(0);
        const auto start = std::chrono::steady_clock::now();
        try {
            return std::make_unique<FileLock>(path, how);
        } catch (const Error& error) {
            if (error.code() == ErrorCode::failed && std::chrono::steady_clock::now() - start >= how.timeout)
                m_waited_in_vain = true;
            throw;
        }
    }

    /// Those of the cache, listed again when it has got another one.
    std::shared_ptr<const std::vector<RepoId>> repositories() {
        std::error_code unreadable;
        const auto changed = fs::last_write_time(m_cache.root(), unreadable);
        const std::lock_guard lock(m_mutex);
        if (!m_repositories || changed != m_changed) {
            m_repositories = std::make_shared<const std::vector<RepoId>>(m_cache.repositories());
            m_changed = changed;
        }
        return m_repositories;
    }

    const Settings& m_settings;
    HttpClient& m_http;
    const Cache& m_cache;
    Monitor& m_monitor;
    Verified m_verified;
    std::mutex m_mutex;
    std::shared_ptr<const std::vector<RepoId>> m_repositories;
    fs::file_time_type m_changed;  // of the cache's folder, when they were listed
    std::atomic<bool> m_waited_in_vain{false};
};

FetchedFile Fetch::bring(const FileRequest& file, const std::optional<fs::path>& present,
                         const std::optional<fs::path>& older, const std::optional<fs::path>& twin) {
    FetchedFile result{file, {}, 0, false, file.entry.lfs_sha256.value_or("")};
    const fs::path blob = m_cache.blob_path(file.repo, file.entry.etag());
    const auto is_right = [&](const fs::path& path) {
        return m_verified.is_right(file.repo, path, file.entry, result.checked);
    };
    std::optional<fs::path> damaged;
    if (present) {
        if (has_size(*present, file.entry) && is_right(*present)) {
            result.path = *present;
            return result;
        }
        damaged = present;
    }
    // A link that was just found wrong leads to the blob: no need to read it again.
    const bool blob_is_wrong = damaged && are_the_same(*damaged, blob);
    if (blob_is_wrong || !has_size(blob, file.entry) || !is_right(blob)) {
        std::error_code unreadable;
        for (const auto& place : {blob, m_cache.snapshot_folder(file.repo, file.commit) / file.entry.path}) {
            if (fs::is_directory(place, unreadable)) throw write_error(place, EISDIR);
        }
        if (!damaged && fs::exists(blob, unreadable)) damaged = blob;
        const auto find_donors = [&] {
            auto found = m_settings.donors ? m_settings.donors(file) : std::vector<fs::path>{};
            if (twin) found.push_back(*twin);
            if (older) found.push_back(*older);
            if (auto noted = m_cache.noted_content(file.entry.etag())) found.push_back(std::move(*noted));
            std::erase_if(found, [](const fs::path& donor) {
                std::error_code error;
                return !fs::is_regular_file(donor, error);
            });
            return found;
        };
        const auto refuse_offline = [&] {
            if (damaged) {
                throw Error(ErrorCode::verification,
                            damaged->string() + ": its bytes do not match their hash, and this is offline",
                            "once online, `kernels cache verify --repair` fetches them again");
            }
            throw Error(ErrorCode::network, name_of(file) + " is not in the cache, and this is offline",
                        "run the same command once online");
        };
        // Before a lock is made or waited for: a cache that is only read has room for none.
        if (m_settings.offline && find_donors().empty() && copies_elsewhere(file).empty()) refuse_offline();
        if (damaged) {
            log::warning(damaged->string() + ": its bytes do not match their hash; they are fetched again");
        }
        m_monitor.started(file);
        // Another process may want the same bytes for another repository: a lock on the content comes first.
        // huggingface_hub knows the second only, which is the repository's own.
        const auto waiting = [&](int pid) { m_monitor.waiting(file, pid); };
        const auto content_lock = this->lock(m_cache.content_lock_path(file.entry.etag()), waiting);
        const auto lock = this->lock(m_cache.lock_path(file.repo, file.entry.etag()), waiting);
        // Another process, or another thread of this one, may have brought it meanwhile.
        Source source = Source::another_process;
        if (!has_size(blob, file.entry) || !is_right(blob)) {
            IncompleteBlob incomplete(
                file, blob, [&](std::uint64_t bytes) { m_monitor.progressed(file, bytes); },
                m_settings.cancel);
            auto donors = find_donors();
            for (auto& copy : copies_elsewhere(file))
                donors.push_back(std::move(copy));
            const bool taken = std::any_of(donors.begin(), donors.end(), [&](const fs::path& donor) {
                if (take_from(donor, incomplete, file.entry.size, m_settings.cancel)) return true;
                // A blob is named by its bytes; a file at a path may be of another version and right there.
                if (donor.filename() == file.entry.etag()) damaged = donor;
                return false;
            });
            source = Source::this_machine;
            if (!taken) {
                source = Source::hub;
                if (m_settings.offline) refuse_offline();
                result.transferred = download(file, incomplete, m_settings, m_http);
            }
            m_verified.note(file.repo, blob, file.entry.etag());
            m_cache.note_content(file.entry.etag(), blob);
            result.sha256 = incomplete.sha256();
            result.checked = true;
        }
        m_monitor.finished(file, source);
    } else if (damaged) {
        log::warning(damaged->string() +
                     ": its bytes do not match their hash; the right ones take its place");
    }
    result.path = m_cache.link_snapshot(file.repo, file.commit, file.entry);
    return result;
}

}  // namespace

std::string file_url(const Settings& settings, const FileRequest& file) {
    return settings.endpoint + "/kernels/" + file.repo.to_string() + "/resolve/" + file.commit.to_string() +
           "/" + url_quoted(file.entry.path, true);
}

std::vector<FetchOutcome> fetch_each(std::span<const FileRequest> files, const Settings& settings,
                                     HttpClient& http, const Cache& cache, Monitor* monitor) {
    Silent silent;
    Monitor& listener = monitor != nullptr ? *monitor : silent;

    // Files with the same bytes are one job: the first brings them, the others link to its blob, or copy it
    // into another repository's folder.
    std::map<std::string, std::vector<std::size_t>> jobs_by_blob;
    for (std::size_t i = 0; i < files.size(); ++i)
        jobs_by_blob[files[i].entry.etag()].push_back(i);
    std::vector<const std::vector<std::size_t>*> jobs;
    std::size_t planned_files = 0;
    std::uint64_t planned_bytes = 0;
    for (auto& [etag, indices] : jobs_by_blob) {
        jobs.push_back(&indices);
        // Where the bytes are already comes first: the others copy from there.
        const auto absent = std::stable_partition(indices.begin(), indices.end(), [&](std::size_t index) {
            return has_size(cache.blob_path(files[index].repo, files[index].entry.etag()),
                            files[index].entry);
        });
        const auto& first = files[indices.front()];
        if (absent != indices.begin()) continue;
        ++planned_files;
        planned_bytes += first.entry.size;
    }
    listener.planned(planned_files, planned_bytes);
    // The largest first, so that it does not end alone.
    std::stable_sort(jobs.begin(), jobs.end(), [&](const auto* a, const auto* b) {
        return files[a->front()].entry.size > files[b->front()].entry.size;
    });

    Fetch run(settings, http, cache, listener);
    std::vector<FetchOutcome> outcomes(files.size());
    std::vector<std::exception_ptr> fatal(files.size());
    run_parallel(jobs.size(), settings.jobs, [&](std::size_t job) {
        std::optional<fs::path> twin;
        std::string sha256;
        const FetchOutcome* failed = nullptr;
        for (const std::size_t index : *jobs[job]) {
            auto& outcome = outcomes[index];
            // The same bytes of the same repository would fail in the same way, after as many retries.
            if (failed != nullptr && files[index].repo == files[jobs[job]->front()].repo) {
                outcome.error = failed->error;
                continue;
            }
            try {
                outcome.file = run.one(files[index], twin);
                twin = outcome.file->path;
                if (outcome.file->sha256.empty()) outcome.file->sha256 = sha256;
                sha256 = outcome.file->sha256;
            } catch (const Error& error) {
                if (error.code() == ErrorCode::interrupted) fatal[index] = std::current_exception();
                outcome.error = error;
                if (index == jobs[job]->front()) failed = &outcome;
            } catch (...) {
                fatal[index] = std::current_exception();
            }
        }
    });

    for (const auto& error : fatal) {
        if (error) std::rethrow_exception(error);
    }
    return outcomes;
}

std::vector<FetchedFile> fetch(std::span<const FileRequest> files, const Settings& settings, HttpClient& http,
                               const Cache& cache, Monitor* monitor) {
    std::vector<FetchedFile> fetched;
    fetched.reserve(files.size());
    for (auto& outcome : fetch_each(files, settings, http, cache, monitor)) {
        if (outcome.error) throw Error(*outcome.error);
        fetched.push_back(std::move(*outcome.file));
    }
    return fetched;
}

}  // namespace kernels::hub
