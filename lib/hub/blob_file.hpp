// A blob on its way into the cache.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "hashing_writer.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/file_lock.hpp"
#include "kernels/hub/fetch.hpp"

namespace kernels::hub {

/// "org/name: path", as messages name a file.
std::string name_of(const FileRequest& file);

/// For files that went while they were being used.
inline constexpr const char* removed_meanwhile_hint =
    "another process cleans the cache, `kernels cache prune` say: download again when it has ended";

/// What to say when the cache's disk refuses, by errno. `what`: "cannot be …".
Error disk_error(const std::filesystem::path& path, const char* what, int error);

/// The same for a file in a folder that was there.
Error write_error(const std::filesystem::path& path, int error);

/// For the cache's locks, which are compatible with huggingface_hub's (flock on
/// `<cache>/.locks/…/<etag>.lock`). `waiting`: see FileLockOptions.
FileLockOptions lock_options(const Settings& settings, std::function<void(int)> waiting);

/// A part of a blob (see part_file.hpp): takes the body, hashes it, and becomes the blob when it is right.
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
    void idle() override { m_writer->pass_on_old(); }
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
    const std::atomic<bool>* m_cancel;
    int m_fd = -1;
    std::uint64_t m_offset = 0;
    std::uint64_t m_received = 0;
    std::optional<HashingWriter> m_writer;
    std::string m_sha256;
};

}  // namespace kernels::hub
