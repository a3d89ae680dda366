// A lock that processes share: flock on a file or a folder; where there is no flock, the file itself.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <istream>
#include <string>
#include <vector>

#include "kernels/core/error.hpp"

namespace kernels {

struct FileLockOptions {
    std::chrono::seconds timeout{600};
    /// Ends the wait with Error(interrupted).
    const std::atomic<bool>* cancel = nullptr;
    /// Told once when another process has the lock, with its pid (0: unknown).
    std::function<void(int)> waiting;
    /// For the error when the lock cannot be had on this file system.
    std::string hint;
    std::vector<Remedy> remedies;
    /// Whether the file is removed when the lock is let go of.
    bool removed_at_end = false;
    /// Whether to go on without a lock where the file system knows none.
    bool is_optional = false;
};

/// Held from construction to destruction, by one thread of one process. A file is created where there is
/// none, with its folder; a folder that is there is locked as it is, and needs to be readable only.
///
/// Threads of this process wait for each other without a word and without a limit: who has the lock is at
/// work. A file may be removed by who holds its lock.
///
/// On a file system without flock (ENOSYS, EOPNOTSUPP) it is what huggingface_hub falls back to: a file that
/// is there as long as the lock is held, with the pid and the host's name in it. One whose process is gone
/// from this host is taken over. A folder cannot be locked there (see is_optional).
class FileLock {
  public:
    /// Throws Error(failed) when another process has it for longer than the timeout, or it cannot be had.
    FileLock(const std::filesystem::path& path, const FileLockOptions& options);
    ~FileLock();
    FileLock(const FileLock&) = delete;
    FileLock& operator=(const FileLock&) = delete;

  private:
    void acquire(const FileLockOptions& options);
    void open(const FileLockOptions& options);
    int holder_now() const;

    std::filesystem::path m_path;
    bool m_removed_at_end;
    bool m_is_new = false;     // this object made the file
    bool m_is_marker = false;  // there is no flock: that the file exists is the lock
    int m_fd = -1;
};

/// "waiting for process 42", "waiting for another process" where it is not known which (0).
std::string waiting_for(int pid);

/// Who holds a flock on the inode on one of the devices (in the form `major:minor` of /proc/locks), by a text
/// like that file; 0 when it does not say.
int lock_holder(std::istream& locks, const std::vector<std::string>& devices, std::uint64_t inode);

}  // namespace kernels
