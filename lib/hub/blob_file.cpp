#include "blob_file.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "core/open_files.hpp"
#include "kernels/core/cancel.hpp"
#include "kernels/core/text.hpp"
#include "part_file.hpp"

namespace kernels::hub {
namespace fs = std::filesystem;

namespace {

constexpr const char* writable_cache_hint = "choose a cache that can be written, by HF_HUB_CACHE say";

// Others may write to the cache: what is no file of its own (a link out of it, a FIFO) is nobody's part.
int open_part(const fs::path& path) {
    constexpr int how = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    const int fd = ::open(path.c_str(), how, 0666);
    struct stat status {};
    if (fd >= 0 && ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1) return fd;
    if (fd >= 0) ::close(fd);
    if (fd < 0 && errno != ELOOP && errno != ENXIO) return fd;
    if (::unlink(path.c_str()) != 0) return -1;
    return ::open(path.c_str(), how | O_EXCL, 0666);
}

}  // namespace

std::string name_of(const FileRequest& file) {
    return file.repo.to_string() + ": " + file.entry.path;
}

Error disk_error(const fs::path& path, const char* what, int error) {
    const std::string message = path.string() + ": " + what + ": " + std::strerror(error);
    if (auto hint = open_files_hint(error)) return {ErrorCode::failed, message, std::move(*hint)};
    rlimit limit{};
    if (error == EFBIG && ::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        return {ErrorCode::failed, message, "raise the limit on the size of files (ulimit -f)"};
    const bool is_in_the_way = error == EISDIR || error == ENOTDIR || error == EEXIST || error == ENOTEMPTY;
    return Error(ErrorCode::failed, message,
                 error == ENOSPC || error == EDQUOT
                     ? "free some room, or choose another cache, by HF_HUB_CACHE say"
                 : is_in_the_way
                     ? "something that no cache has is in its place: remove that, or choose another "
                       "cache, by HF_HUB_CACHE say"
                     : writable_cache_hint)
        .with_remedies({Remedy::cache});
}

Error write_error(const fs::path& path, int error) {
    // Its folder was there, as whoever writes has made it.
    if (error == ENOENT) {
        return {ErrorCode::failed, path.string() + ": its folder was removed meanwhile",
                removed_meanwhile_hint};
    }
    return disk_error(path, "cannot be written", error);
}

FileLockOptions lock_options(const Settings& settings, std::function<void(int)> waiting) {
    return {settings.lock_timeout, settings.cancel, std::move(waiting),
            writable_cache_hint,   {Remedy::cache}, false};
}

IncompleteBlob::IncompleteBlob(const FileRequest& file, const fs::path& blob,
                               std::function<void(std::uint64_t)> progress, const std::atomic<bool>* cancel)
    : m_file(file), m_blob(blob), m_progress(std::move(progress)), m_cancel(cancel) {
    std::error_code error;
    fs::create_directories(blob.parent_path(), error);
    if (error) throw disk_error(blob.parent_path(), "cannot be made", error.value());
    m_path = claim_part(blob);
    m_fd = open_part(m_path);
    if (m_fd < 0) {
        const int reason = errno;
        release_part(m_path, blob);
        throw write_error(m_path, reason);
    }
    start_writer();
    // What an earlier run left is hashed once and then continued; whether it is right shows at the end.
    std::vector<char> buffer(std::size_t{1} << 20U);
    for (;;) {
        const auto got = ::read(m_fd, buffer.data(), buffer.size());
        if (got <= 0) break;
        if (is_cancelled(cancel)) {
            ::close(m_fd);
            release_part(m_path, m_blob);
            check_cancelled(cancel);
        }
        m_writer->hash_only({buffer.data(), static_cast<std::size_t>(got)});
        m_offset += static_cast<std::uint64_t>(got);
    }
    if (m_offset > file.entry.size) restart();
    m_progress(m_offset);
}

IncompleteBlob::~IncompleteBlob() {
    if (m_fd < 0) return;
    m_writer.reset();  // what arrived is kept, to go on from there
    struct stat status {};
    const bool empty = ::fstat(m_fd, &status) == 0 && status.st_size == 0;
    ::close(m_fd);
    std::error_code ignored;
    if (empty) {
        fs::remove(m_path, ignored);
    } else {
        release_part(m_path, m_blob);
    }
}

// Metadata names the SHA-256 of all files, git's own hash serves the Hub only: both come from one pass.
void IncompleteBlob::start_writer() {
    std::optional<Hasher> sha256;
    if (!m_file.entry.lfs_sha256) sha256.emplace(HashAlgorithm::sha256);
    m_writer.emplace(m_fd, m_path, m_file.entry.hasher(), std::move(sha256), m_cancel);
}

void IncompleteBlob::restart() {
    m_writer.reset();
    if (::ftruncate(m_fd, 0) != 0 || ::lseek(m_fd, 0, SEEK_SET) != 0) throw write_error(m_path, errno);
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
    if (range ? range->starts_with(wanted) : m_offset == 0) return;
    // Whole or another part: what is here stands in the way, so that the next question is for the whole file.
    const bool is_whole = range && range->starts_with("bytes 0-");
    if (m_offset != 0) restart();
    if (!is_whole)
        throw TransferBroken(ErrorCode::network, url_origin(head.url) + " sent another part of it");
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
    if (::fsync(m_fd) != 0) throw write_error(m_path, errno);
    if (::rename(m_path.c_str(), m_blob.c_str()) != 0) throw write_error(m_blob, errno);
    ::close(m_fd);
    m_fd = -1;
}

}  // namespace kernels::hub
