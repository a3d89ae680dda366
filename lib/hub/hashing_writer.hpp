// Bytes into a file, hashed on the way.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "kernels/core/digest.hpp"

namespace kernels::hub {

/// Appends to an open file and hashes what it appends. From the first full block on a thread of its own
/// hashes, so that a fast network and the disk do not wait for it. Not thread-safe.
class HashingWriter {
  public:
    /// `path` is named in errors; the file stays the caller's to close, after this object.
    /// `second` takes the same bytes, for who needs another hash of them.
    HashingWriter(int fd, std::filesystem::path path, Hasher hasher, std::optional<Hasher> second = {});
    ~HashingWriter();
    HashingWriter(const HashingWriter&) = delete;
    HashingWriter& operator=(const HashingWriter&) = delete;

    /// Takes bytes that are in the file already.
    void hash_only(std::string_view bytes) {
        m_hasher.update(bytes);
        if (m_second) m_second->update(bytes);
    }
    /// Throws Error(failed) when the disk refuses.
    void append(std::string_view bytes);
    /// The raw digest of all bytes; the object takes no more afterwards.
    std::string finish();
    /// That of the second hasher, after finish().
    std::string finish_second() { return m_second->finish(); }

  private:
    void store(std::string_view bytes);
    bool has_thread();
    void hash_blocks();

    int m_fd;
    std::filesystem::path m_path;
    Hasher m_hasher;
    std::optional<Hasher> m_second;
    std::string m_block;
    std::uint64_t m_unsynced = 0;

    std::mutex m_mutex;
    std::condition_variable m_changed;
    std::deque<std::string> m_queue;
    std::vector<std::string> m_spare;  // hashed; new memory for each block would cost page faults
    bool m_busy = false;
    bool m_stop = false;
    std::thread m_thread;
};

}  // namespace kernels::hub
