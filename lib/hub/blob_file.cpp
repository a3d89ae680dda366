#include "blob_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "backoff.hpp"
#include "kernels/core/text.hpp"

namespace kernels::hub {
namespace {

namespace fs = std::filesystem;

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

}  // namespace

std::string name_of(const FileRequest& file) {
    return file.repo.to_string() + ": " + file.entry.path;
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

Error disk_error(const fs::path& path, const char* what, int error) {
    return {ErrorCode::failed, path.string() + ": " + what + ": " + std::strerror(error),
            error == ENOSPC ? "free some room, or choose another cache with --cache"
                            : "choose a cache that can be written with --cache or HF_HUB_CACHE"};
}

BlobLock::BlobLock(const fs::path& path, const Settings& settings, const std::function<void(int)>& waiting) {
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    const auto open_file = [&] {
        m_fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0664);
        if (m_fd < 0) throw disk_error(path, "cannot be made", errno);
    };
    open_file();
    const auto until = std::chrono::steady_clock::now() + settings.lock_timeout;
    bool told = false;
    for (;;) {
        if (::flock(m_fd, LOCK_EX | LOCK_NB) == 0) {
            struct stat status {};
            if (::fstat(m_fd, &status) != 0 || status.st_nlink > 0) return;
            // Removed between open and lock: this lock guards no name, and another process may hold the new
            // file.
            ::close(m_fd);
            open_file();
            continue;
        }
        const int reason = errno;
        const bool cancelled = is_cancelled(settings.cancel);
        if (cancelled || (reason != EWOULDBLOCK && reason != EINTR) ||
            std::chrono::steady_clock::now() > until) {
            const int holder = holder_of(m_fd);
            ::close(m_fd);
            check_cancelled(settings.cancel);
            if (reason == EWOULDBLOCK) {
                throw Error(ErrorCode::failed,
                            path.string() + ": still locked by process " +
                                (holder > 0 ? std::to_string(holder) : "(unknown)") + " after " +
                                std::to_string(settings.lock_timeout.count()) + " s",
                            "wait for that process, or end it");
            }
            throw disk_error(path, "cannot be locked", reason);
        }
        if (!told) waiting(holder_of(m_fd));
        told = true;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
}

BlobLock::~BlobLock() {
    ::close(m_fd);  // lets go of the lock as well
}

IncompleteBlob::IncompleteBlob(const FileRequest& file, const fs::path& blob,
                               std::function<void(std::uint64_t)> progress, const std::atomic<bool>* cancel)
    : m_file(file), m_blob(blob), m_path(blob.string() + ".incomplete"), m_progress(std::move(progress)) {
    std::error_code error;
    fs::create_directories(blob.parent_path(), error);
    m_fd = ::open(m_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (m_fd < 0) throw disk_error(m_path, "cannot be written", errno);
    start_writer();
    // What an earlier run left is hashed once and then continued; whether it is right shows at the end.
    std::vector<char> buffer(std::size_t{1} << 20U);
    for (;;) {
        const auto got = ::read(m_fd, buffer.data(), buffer.size());
        if (got <= 0) break;
        if (is_cancelled(cancel)) {
            ::close(m_fd);
            check_cancelled(cancel);
        }
        m_writer->hash_only({buffer.data(), static_cast<std::size_t>(got)});
        m_offset += static_cast<std::uint64_t>(got);
    }
    if (m_offset > file.entry.size) restart();
}

IncompleteBlob::~IncompleteBlob() {
    if (m_fd < 0) return;
    m_writer.reset();  // what arrived is kept, to go on from there
    ::close(m_fd);
    std::error_code ignored;
    if (m_offset == 0) fs::remove(m_path, ignored);  // nothing to resume
}

// Metadata names the SHA-256 of all files, git's own hash serves the Hub only: both come from one pass.
void IncompleteBlob::start_writer() {
    std::optional<Hasher> sha256;
    if (!m_file.entry.lfs_sha256) sha256.emplace(HashAlgorithm::sha256);
    m_writer.emplace(m_fd, m_path, m_file.entry.hasher(), std::move(sha256));
}

void IncompleteBlob::restart() {
    m_writer.reset();
    if (::ftruncate(m_fd, 0) != 0 || ::lseek(m_fd, 0, SEEK_SET) != 0)
        throw disk_error(m_path, "cannot be written", errno);
    m_offset = 0;
    start_writer();
}

void IncompleteBlob::begin(const Response& head) {
    const auto commit = head.header("x-repo-commit");
    if (commit && *commit != m_file.commit.to_string()) {
        throw Error(ErrorCode::verification, name_of(m_file) + ": asked for commit " +
                                                 m_file.commit.to_string() + ", got " + backquoted(*commit));
    }
    if (head.status != 206) {
        // The server sends the whole file, asked for a part or not.
        if (m_offset != 0) restart();
        return;
    }
    const std::string wanted = "bytes " + std::to_string(m_offset) + "-";
    const auto range = head.header("content-range");
    if (!range || !range->starts_with(wanted)) {
        throw Error(ErrorCode::network,
                    name_of(m_file) + ": " + url_origin(head.url) + " sent another part of the file");
    }
}

void IncompleteBlob::write(std::string_view bytes) {
    if (m_offset + bytes.size() > m_file.entry.size) {
        restart();
        throw Error(ErrorCode::verification,
                    name_of(m_file) + ": more bytes than the " + std::to_string(m_file.entry.size) +
                        " that the Hub lists",
                    "the server or a proxy between is broken; nothing was kept");
    }
    m_writer->append(bytes);
    m_offset += bytes.size();
    m_received += bytes.size();
    m_progress(m_offset);
}

void IncompleteBlob::commit() {
    const std::string actual = to_hex(m_writer->finish());
    if (actual != m_file.entry.etag()) {
        restart();
        throw Error(ErrorCode::verification,
                    name_of(m_file) + ": the bytes do not match their hash: expected " + m_file.entry.etag() +
                        ", got " + actual,
                    "the server or a proxy between changed the file; nothing was kept");
    }
    m_sha256 = m_file.entry.lfs_sha256 ? actual : to_hex(m_writer->finish_second());
    m_writer.reset();
    if (::fsync(m_fd) != 0) throw disk_error(m_path, "cannot be written", errno);
    if (::rename(m_path.c_str(), m_blob.c_str()) != 0) throw disk_error(m_blob, "cannot be written", errno);
    ::close(m_fd);
    m_fd = -1;
}

}  // namespace kernels::hub
