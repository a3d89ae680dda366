// A blob on its way into the cache.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <istream>
#include <optional>
#include <string>
#include <vector>

#include "hashing_writer.hpp"
#include "kernels/core/error.hpp"
#include "kernels/hub/fetch.hpp"

namespace kernels::hub {

/// "org/name: path", as messages name a file.
std::string name_of(const FileRequest& file);

/// Who holds a flock on the inode on one of the devices (in the form `major:minor` of /proc/locks), by a text
/// like that file; 0 when it does not say.
int lock_holder(std::istream& locks, const std::vector<std::string>& devices, std::uint64_t inode);

/// What to say when the cache's disk refuses, by errno.
Error disk_error(const std::filesystem::path& path, const char* what, int error);

/// The cache's lock on one blob, compatible with huggingface_hub's (flock on `<cache>/.locks/…/<etag>.lock`).
class BlobLock {
  public:
    /// Waits up to settings.lock_timeout; `waiting` is told once, with the holder's pid (0: unknown).
    BlobLock(const std::filesystem::path& path, const Settings& settings,
             const std::function<void(int)>& waiting);
    ~BlobLock();
    BlobLock(const BlobLock&) = delete;
    BlobLock& operator=(const BlobLock&) = delete;

  private:
    int m_fd = -1;
};

/// `blobs/<etag>.incomplete`: takes the body, hashes it, and becomes the blob when it is right.
class IncompleteBlob final : public BodySink {
  public:
    IncompleteBlob(const FileRequest& file, const std::filesystem::path& blob,
                   std::function<void(std::uint64_t)> progress, const std::atomic<bool>* cancel = nullptr);
    ~IncompleteBlob() override;

    /// The bytes that are there already; they have been hashed (which `cancel` ends with Error(interrupted)).
    std::uint64_t offset() const noexcept { return m_offset; }
    std::uint64_t received() const noexcept { return m_received; }
    void begin(const Response& head) override;
    void write(std::string_view bytes) override;
    /// Checks size and hash, syncs and renames. Throws Error(verification) after removing what was wrong.
    void commit();
    /// The hexadecimal SHA-256 of all bytes, after commit().
    const std::string& sha256() const noexcept { return m_sha256; }
    /// Starts over with nothing.
    void restart();

  private:
    void start_writer();

    const FileRequest& m_file;
    std::filesystem::path m_blob;
    std::filesystem::path m_path;
    std::function<void(std::uint64_t)> m_progress;
    int m_fd = -1;
    std::uint64_t m_offset = 0;
    std::uint64_t m_received = 0;
    std::optional<HashingWriter> m_writer;
    std::string m_sha256;
};

}  // namespace kernels::hub
