#include "kernels/core/files.hpp"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "unique_name.hpp"

namespace kernels {
namespace {

Error io_error(const std::filesystem::path& path, const char* what, int error) {
    return {ErrorCode::failed, path.string() + ": " + what + ": " + std::strerror(error)};
}

// Files are created with the permissions that the user's umask asks for, as any other program's are.
mode_t default_mode() {
    static const mode_t mask = [] {
        const mode_t current = ::umask(022);
        ::umask(current);
        return current;
    }();
    return 0666U & ~mask;
}

// The first of the names in `folder` with which `make` succeeds: one that nothing has yet. It does not
// start with that of the file, which may be as long as names can be.
std::string name_for(const std::filesystem::path& path, const std::filesystem::path& folder,
                     const std::function<bool(const std::string&)>& make) {
    constexpr int most_tries = 100;
    for (int i = 0; i < most_tries; ++i) {
        std::string name = folder / unfinished_name();
        if (make(name)) return name;
        if (errno != EEXIST) break;
    }
    throw io_error(path, "cannot be written", errno);
}

}  // namespace

std::string read_file(const std::filesystem::path& path, std::uintmax_t limit) {
    auto bytes = read_file_if_exists(path, limit);
    if (!bytes) throw Error(ErrorCode::failed, path.string() + ": no such file");
    return std::move(*bytes);
}

std::optional<std::string> read_file_if_exists(const std::filesystem::path& path, std::uintmax_t limit) {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (!std::filesystem::exists(status)) return std::nullopt;
    if (std::filesystem::is_directory(status))
        throw Error(ErrorCode::failed, path.string() + ": is a folder");
    std::ifstream in(path, std::ios::binary);
    if (!in) throw io_error(path, "cannot be opened", errno);
    const auto too_large = [&] {
        return Error(ErrorCode::failed,
                     path.string() + ": larger than the allowed " + std::to_string(limit) + " bytes");
    };
    if (std::filesystem::is_regular_file(status) && std::filesystem::file_size(path, error) > limit && !error)
        throw too_large();
    // Its size is no more than a hint: that of a file in /proc is 0, and a device has none.
    constexpr std::size_t piece = 1U << 16U;
    std::string bytes;
    while (in) {
        const std::size_t before = bytes.size();
        bytes.resize(before + piece);
        in.read(bytes.data() + before, piece);
        bytes.resize(before + static_cast<std::size_t>(in.gcount()));
        if (bytes.size() > limit) throw too_large();
    }
    if (in.bad()) throw io_error(path, "cannot be read", errno);
    return bytes;
}

std::string special_kind(const std::filesystem::path& path) {
    using std::filesystem::file_type;
    std::error_code error;
    switch (std::filesystem::status(path, error).type()) {
        case file_type::directory:
            return "a folder";
        case file_type::fifo:
            return "a FIFO";
        case file_type::socket:
            return "a socket";
        case file_type::block:
        case file_type::character:
            return "a device";
        default:
            return {};
    }
}

void require_replaceable(const std::filesystem::path& path) {
    const std::string kind = special_kind(path);
    if (!kind.empty())
        throw Error(ErrorCode::failed, path.string() + ": cannot be written: it is " + kind + ", no file");
}

AtomicFile::AtomicFile(std::filesystem::path path, std::filesystem::path beside)
    : m_path(std::move(path)), m_beside(beside.empty() ? m_path.parent_path() : std::move(beside)) {
    // A rename replaces whatever has the name: for root /dev/null as well.
    require_replaceable(m_path);
    // Without a name until commit(), where the file system can do that: a killed process leaves nothing.
    const auto folder = m_beside.empty() ? std::filesystem::path(".") : m_beside;
    m_fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, default_mode());
    if (m_fd < 0) open_named();
}

void AtomicFile::open_named() {
    m_temporary = name_for(m_path, m_beside, [&](const std::string& name) {
        m_fd = ::open(name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, default_mode());
        return m_fd >= 0;
    });
}

AtomicFile::~AtomicFile() {
    if (m_fd >= 0) ::close(m_fd);
    if (!m_temporary.empty()) ::unlink(m_temporary.c_str());
}

void AtomicFile::write(std::string_view bytes) {
    while (!bytes.empty()) {
        const auto written = ::write(m_fd, bytes.data(), bytes.size());
        if (written < 0) {
            if (errno == EINTR) continue;
            throw io_error(m_path, "cannot be written", errno);
        }
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
}

void AtomicFile::keep_permissions() {
    struct stat old {};
    if (::stat(m_path.c_str(), &old) != 0) return;
    // The owner first: a change of it clears some of the permissions. Only root may give a file away.
    const bool is_owned = ::fchown(m_fd, old.st_uid, old.st_gid) == 0 ||
                          ::fchown(m_fd, static_cast<uid_t>(-1), old.st_gid) == 0;
    // What was meant for another group is not for the group that the file has got now.
    const mode_t mode = old.st_mode & (is_owned ? 07777U : 0707U);
    if (::fchmod(m_fd, mode) != 0) throw io_error(m_path, "its permissions cannot be kept", errno);
}

// A name for a file without one. Where that cannot be had (no /proc, a file system without links, a sandbox)
// its bytes and permissions move to a file that has one.
void AtomicFile::give_name() {
    const std::string unnamed = "/proc/self/fd/" + std::to_string(m_fd);
    try {
        m_temporary = name_for(m_path, m_beside, [&](const std::string& name) {
            return ::linkat(AT_FDCWD, unnamed.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0;
        });
        return;
    } catch (const Error&) {
    }
    const int old_fd = m_fd;
    try {
        open_named();
        struct stat old {};
        const bool is_known = ::fstat(old_fd, &old) == 0;
        // Only root may give a file away; keep_permissions() saw to it that the mode fits the owner it could
        // have.
        const bool is_owned = is_known && ::fchown(m_fd, old.st_uid, old.st_gid) == 0;
        if (is_known && ::fchmod(m_fd, old.st_mode & (is_owned ? 07777U : 0707U)) != 0)
            throw io_error(m_path, "its permissions cannot be kept", errno);
        std::string buffer(std::size_t{1} << 16U, '\0');
        off_t at = 0;
        for (;;) {
            const auto got = ::pread(old_fd, buffer.data(), buffer.size(), at);
            if (got < 0) throw io_error(m_path, "cannot be written", errno);
            if (got == 0) break;
            write({buffer.data(), static_cast<std::size_t>(got)});
            at += got;
        }
        if (::fsync(m_fd) != 0) throw io_error(m_path, "cannot be written", errno);
    } catch (...) {
        ::close(old_fd);
        throw;
    }
    ::close(old_fd);
}

void AtomicFile::commit() {
    if (::fsync(m_fd) != 0) throw io_error(m_path, "cannot be written", errno);
    if (m_temporary.empty()) give_name();
    const int fd = m_fd;
    m_fd = -1;
    if (::close(fd) != 0) throw io_error(m_path, "cannot be written", errno);
    if (::rename(m_temporary.c_str(), m_path.c_str()) != 0)
        throw io_error(m_path, "cannot be written", errno);
    m_temporary.clear();
}

void write_file(const std::filesystem::path& path, std::string_view bytes) {
    AtomicFile file(path);
    file.write(bytes);
    file.commit();
}

void rewrite_file(const std::filesystem::path& path, std::string_view bytes) {
    std::error_code error;
    auto real = std::filesystem::canonical(path, error);
    if (error) {  // there may be none yet; then a link's own target is what is made
        real = path;
        for (int links = 0; links < 40 && std::filesystem::is_symlink(real, error); ++links)
            real = real.parent_path() / std::filesystem::read_symlink(real, error);
    }
    AtomicFile file(real);
    file.keep_permissions();
    file.write(bytes);
    file.commit();
}

std::error_code sync_to_disk(const std::filesystem::path& file) {
    const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    const bool is_synced = fd >= 0 && ::fsync(fd) == 0;
    const std::error_code error(is_synced ? 0 : errno, std::generic_category());
    if (fd >= 0) ::close(fd);
    return error;
}

std::optional<std::string> environment_variable(const char* name) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') return std::nullopt;
    return std::string(value);
}

bool environment_flag(const char* name) {
    const auto value = environment_variable(name);
    if (!value) return false;
    const std::string text = lower(*value);
    return text == "1" || text == "on" || text == "yes" || text == "true";
}

std::filesystem::path home_directory() {
    if (const auto home = environment_variable("HOME")) return *home;
    if (const passwd* entry = ::getpwuid(::getuid()); entry != nullptr && entry->pw_dir != nullptr) {
        return entry->pw_dir;
    }
    return "/";
}

std::filesystem::path expand_user(std::string_view path) {
    if (path == "~") return home_directory();
    if (path.substr(0, 2) == "~/") return home_directory() / path.substr(2);
    return path;
}

std::filesystem::path expand_variables(std::string_view path) {
    const std::string text = expand_user(path).string();
    const auto is_of_name = [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
    };
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t begin = text.compare(at, 2, "${") == 0 ? at + 2 : at + 1;
        std::size_t end = begin;
        while (end < text.size() && (begin == at + 2 ? text[end] != '}' : is_of_name(text[end])))
            ++end;
        const bool is_braced = begin == at + 2;
        const bool is_name = text[at] == '$' && end > begin && (!is_braced || end < text.size());
        const char* const value = is_name ? std::getenv(text.substr(begin, end - begin).c_str()) : nullptr;
        if (value != nullptr) {
            out += value;
            at = is_braced ? end + 1 : end;
        } else {
            out += text[at++];
        }
    }
    return out;
}

}  // namespace kernels
