// Files from the Hub into the cache: in parallel, resumable, checked before they get their names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/error.hpp"
#include "kernels/core/reference.hpp"
#include "kernels/hub/cache.hpp"
#include "kernels/hub/http.hpp"
#include "kernels/hub/settings.hpp"
#include "kernels/hub/tree.hpp"

namespace kernels::hub {

struct FileRequest {
    RepoId repo;
    Commit commit;
    TreeEntry entry;
};

/// Where the Hub has the file.
std::string file_url(const Settings& settings, const FileRequest& file);

struct FetchedFile {
    FileRequest request;
    std::filesystem::path path;     ///< in the snapshot
    std::uint64_t transferred = 0;  ///< bytes that came over the network; 0 when the cache had the file
    bool checked = false;           ///< its bytes were hashed in this run; else an earlier one had done so
    std::string sha256;             ///< hexadecimal, where it is known without reading the file again
};

/// What became of one file: exactly one of the two is there.
struct FetchOutcome {
    std::optional<FetchedFile> file;
    std::optional<Error> error;
};

/// Where the bytes of a file came from.
enum class Source {
    hub,              ///< over the network, at least in part
    this_machine,     ///< copied
    another_process,  ///< which brought it meanwhile
};

/// Hears about transfers. Called from several threads at once.
class Monitor {
  public:
    virtual ~Monitor() = default;
    /// How many files and bytes this fetch has to transfer.
    virtual void planned(std::size_t files, std::uint64_t bytes) = 0;
    virtual void started(const FileRequest& file) = 0;
    /// `bytes` of the file are there now; the first call tells what an earlier run left.
    virtual void progressed(const FileRequest& file, std::uint64_t bytes) = 0;
    virtual void finished(const FileRequest& file, Source source) = 0;
    /// Another process (0: unknown) is downloading the same file.
    virtual void waiting(const FileRequest& file, int pid) = 0;
};

/// Puts all files into the cache, settings.jobs at a time, and links them into their snapshots.
///
/// What is in the cache already is hashed once (other programs write there too) and then known by its size
/// and time of change; a file that is not what it should be is named in a warning and fetched again. Every
/// byte is hashed on its way to `blobs/<etag>.incomplete`; only a file of the right size and hash is renamed
/// to `blobs/<etag>`. A partial file is resumed. The outcomes are in request order; errors are verification
/// (size or hash; nothing is kept), network, not_found and failed (disk). Error(interrupted) is thrown;
/// partial files are kept.
std::vector<FetchOutcome> fetch_each(std::span<const FileRequest> files, const Settings& settings,
                                     HttpClient& http, const Cache& cache, Monitor* monitor = nullptr);

/// The same where one failure is the failure of all: throws the first error by request order, after all
/// transfers have ended.
std::vector<FetchedFile> fetch(std::span<const FileRequest> files, const Settings& settings, HttpClient& http,
                               const Cache& cache, Monitor* monitor = nullptr);

}  // namespace kernels::hub
