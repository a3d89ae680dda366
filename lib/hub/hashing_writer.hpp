// Bytes into a file, hashed on the way.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "kernels/core/digest.hpp"

namespace kernels::hub {

/// Appends to an open file and hashes what it appends. From the first full block of 1 MiB on a thread of its
/// own does both, so that the network waits for neither; at most 6 MiB have arrived and are not in the file.
/// The destructor writes what is left, so that a download can go on from there. Not thread-safe.
class HashingWriter {
  public:
    /// `path` is named in errors; the file stays the caller's to close, after this object.
    /// `second` takes the same bytes, for who needs another hash of them.
    /// Some time after `cancel` was set nothing more is written, and who wants more gets Error(interrupted).
    HashingWriter(int fd, std::filesystem::path path, Hasher hasher, std::optional<Hasher> second = {},
                  const std::atomic<bool>* cancel = nullptr);
    ~HashingWriter();
    HashingWriter(const HashingWriter&) = delete;
    HashingWriter& operator=(const HashingWriter&) = delete;

    /// Takes bytes that are in the file already.
    void hash_only(std::string_view bytes) {
        m_hasher.update(bytes);
        if (m_second) m_second->update(bytes);
    }
    /// Throws Error(failed) when the disk refuses these bytes or earlier ones.
    void append(std::string_view bytes);
    /// Writes what came a while ago and fills no block: it is there to go on from when the process is killed.
    /// Throws as append() does.
    void pass_on_old();
    /// Writes what is left and gives the raw digest of all bytes; the object takes no more afterwards. Throws
    /// Error(failed) as append() does.
    std::string finish();
    /// That of the second hasher, after finish().
    std::string finish_second() { return m_second->finish(); }

  private:
    void store(std::string_view bytes);
    void end_when_cancelled();
    bool start_thread();
    void pass_on(bool is_full);
    void take_blocks();
    void take(std::string_view bytes);
    void store_rest();

    int m_fd;
    std::filesystem::path m_path;
    Hasher m_hasher;
    std::optional<Hasher> m_second;
    const std::atomic<bool>* m_cancel;
    std::string m_block;
    std::chrono::steady_clock::time_point m_block_began;
    std::uint64_t m_unsynced = 0;
    std::optional<std::chrono::steady_clock::time_point> m_cancelled;  // when it was seen

    std::mutex m_mutex;
    std::condition_variable m_changed;
    std::deque<std::string> m_queue;
    std::vector<std::string> m_spare;  // hashed; new memory for each block would cost page faults
    std::exception_ptr m_failure;
    bool m_busy = false;
    bool m_stop = false;
    std::thread m_thread;
};

}  // namespace kernels::hub
