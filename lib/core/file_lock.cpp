#include "kernels/core/file_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <mutex>
#include <set>
#include <sstream>
#include <thread>

#include "kernels/core/cancel.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "lock_marker.hpp"
#include "open_files.hpp"

namespace kernels {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds look_again{50};

// What threads of this process hold: to the system two threads with the same file are strangers.
struct HeldHere {
    std::mutex mutex;
    std::condition_variable changed;
    std::set<fs::path> paths;
};

HeldHere& held_here() {
    static HeldHere held;
    return held;
}

void take_here(const fs::path& path, const std::atomic<bool>* cancel) {
    HeldHere& held = held_here();
    std::unique_lock lock(held.mutex);
    while (!held.paths.insert(path).second) {
        held.changed.wait_for(lock, look_again);
        check_cancelled(cancel);
    }
}

void leave_here(const fs::path& path) {
    HeldHere& held = held_here();
    {
        const std::lock_guard lock(held.mutex);
        held.paths.erase(path);
    }
    held.changed.notify_all();
}

std::string device_name(unsigned major, unsigned minor) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%02x:%02x", major, minor);
    return text.data();
}

// The value of a line `name:<blank>value` of /proc/self/fdinfo.
std::string fd_info(int fd, const std::string& name) {
    std::ifstream info("/proc/self/fdinfo/" + std::to_string(fd));
    for (std::string line; std::getline(info, line);) {
        if (line.starts_with(name + ":")) return std::string(trimmed(line.substr(name.size() + 1)));
    }
    return {};
}

// Who holds the lock on the open file, as the system lists it; 0 when it does not say.
int holder_of(int fd) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) return 0;
    // Some file systems (btrfs, overlays) show files another device than the list of locks, which has that
    // of the mount.
    std::vector<std::string> devices{device_name(major(status.st_dev), minor(status.st_dev))};
    const std::string mount = fd_info(fd, "mnt_id");
    std::ifstream mounts("/proc/self/mountinfo");
    for (std::string line; std::getline(mounts, line);) {
        // 36 35 98:0 / /mnt …
        std::istringstream fields(line);
        std::string id, parent;
        unsigned major_number = 0, minor_number = 0;
        char colon = 0;
        fields >> id >> parent >> major_number >> colon >> minor_number;
        if (id == mount) devices.push_back(device_name(major_number, minor_number));
    }
    std::ifstream locks("/proc/locks");
    return lock_holder(locks, devices, status.st_ino);
}

bool is_open_file(const fs::path& path, int fd) {
    struct stat named {};
    struct stat open {};
    return ::stat(path.c_str(), &named) == 0 && ::fstat(fd, &open) == 0 && named.st_dev == open.st_dev &&
           named.st_ino == open.st_ino;
}

}  // namespace

std::string waiting_for(int pid) {
    return "waiting for " + (pid > 0 ? "process " + std::to_string(pid) : std::string("another process"));
}

int lock_holder(std::istream& locks, const std::vector<std::string>& devices, std::uint64_t inode) {
    for (std::string line; std::getline(locks, line);) {
        // 1: FLOCK  ADVISORY  WRITE 4242 08:01:131090 0 EOF
        std::istringstream fields(line);
        std::string number, type, advice, access, pid, place;
        fields >> number >> type >> advice >> access >> pid >> place;
        const bool is_it = std::any_of(devices.begin(), devices.end(), [&](const std::string& device) {
            return place == device + ":" + std::to_string(inode);
        });
        if (type != "FLOCK" || !is_it) continue;
        int holder = 0;
        std::from_chars(pid.data(), pid.data() + pid.size(), holder);
        return holder;
    }
    return 0;
}

FileLock::FileLock(const fs::path& path, const FileLockOptions& options)
    : m_path(fs::absolute(path).lexically_normal()), m_removed_at_end(options.removed_at_end) {
    take_here(m_path, options.cancel);
    try {
        acquire(options);
    } catch (...) {
        if (m_fd >= 0) ::close(m_fd);
        leave_here(m_path);
        throw;
    }
}

FileLock::~FileLock() {
    if (m_removed_at_end || (m_is_marker && is_open_file(m_path, m_fd))) ::unlink(m_path.c_str());
    ::close(m_fd);  // lets go of the lock as well
    leave_here(m_path);
}

void FileLock::open(const FileLockOptions& options) {
    std::error_code error;
    // Who removes the file may remove its folder too, between the one call and the other.
    for (int tries = 0; tries < 10; ++tries) {
        const bool is_folder = fs::is_directory(m_path, error);
        if (!is_folder) fs::create_directories(m_path.parent_path(), error);
        m_is_new = false;
        if (is_folder) {
            m_fd = ::open(m_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        } else {
            m_fd = ::open(m_path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0664);
            m_is_new = m_fd >= 0;
            if (!m_is_new && errno == EEXIST) m_fd = ::open(m_path.c_str(), O_RDWR | O_CLOEXEC);
        }
        if (m_fd >= 0) return;
        if (errno != ENOENT) break;
        // The folder's own error says more than that it is not there.
        if (error) errno = error.value();
    }
    const int reason = errno;
    const std::string what = m_path.string() + ": cannot be made: " + std::strerror(reason);
    if (auto hint = open_files_hint(reason)) throw Error(ErrorCode::failed, what, std::move(*hint));
    const bool is_in_the_way = reason == ENOTDIR || reason == EISDIR || reason == EEXIST;
    throw Error(ErrorCode::failed, what,
                is_in_the_way
                    ? "a file is in the place of one of its folders: remove that, or choose another place"
                    : options.hint)
        .with_remedies(options.remedies);
}

int FileLock::holder_now() const {
    return m_is_marker ? marker_holder(m_path).value_or(0) : holder_of(m_fd);
}

void FileLock::acquire(const FileLockOptions& options) {
    open(options);
    const auto until = std::chrono::steady_clock::now() + options.timeout;
    bool told = false;
    for (;;) {
        if (::flock(m_fd, LOCK_EX | LOCK_NB) == 0) {
            struct stat status {};
            if (::fstat(m_fd, &status) != 0 || status.st_nlink > 0) return;
            // Removed between open and lock: this lock guards no name, and another process may hold the new
            // file.
            ::close(m_fd);
            m_fd = -1;
            open(options);
            continue;
        }
        const int reason = errno;
        // Network file systems may want a file that is open for writing, which a folder never is.
        if (options.is_optional && (reason == EBADF || reason == EINVAL || reason == ENOLCK ||
                                    reason == EOPNOTSUPP || reason == ENOSYS)) {
            return;
        }
        check_cancelled(options.cancel);
        // As the Python clients do: then the file itself is the lock, and goes with it.
        m_is_marker = reason == ENOSYS || reason == EOPNOTSUPP;
        if (m_is_marker) {
            if (m_is_new) {
                write_marker(m_fd);
                return;
            }
            remove_stale_marker(m_path);
            int fd = -1;
            if (make_marker(m_path, fd)) {
                ::close(m_fd);
                m_fd = fd;
                return;
            }
        } else if (reason != EWOULDBLOCK && reason != EINTR) {
            throw Error(ErrorCode::failed, m_path.string() + ": cannot be locked: " + std::strerror(reason),
                        options.hint)
                .with_remedies(options.remedies);
        }
        if (std::chrono::steady_clock::now() > until) {
            const int holder = holder_now();
            throw Error(ErrorCode::failed,
                        m_path.string() + ": still locked by process " +
                            (holder > 0 ? std::to_string(holder) : "(unknown)") + " after " +
                            std::to_string(options.timeout.count()) + " s",
                        m_is_marker ? "wait for that process, or end it; if it is gone, remove the file"
                                    : "wait for that process, or end it");
        }
        if (!told && options.waiting) options.waiting(holder_now());
        told = true;
        std::this_thread::sleep_for(look_again);
    }
}

}  // namespace kernels
