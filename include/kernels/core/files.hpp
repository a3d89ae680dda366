// Reading and writing whole files; writes are atomic.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace kernels {

inline constexpr std::uintmax_t largest_read = std::uintmax_t{1} << 30U;

/// The bytes of a file. Throws Error(failed) when it cannot be read or holds more than `limit` bytes; no more
/// than these are read, of a device without an end too.
std::string read_file(const std::filesystem::path& path, std::uintmax_t limit = largest_read);

/// As read_file, but nothing when there is no such file (a failure to read one that is there still throws).
std::optional<std::string> read_file_if_exists(const std::filesystem::path& path,
                                               std::uintmax_t limit = largest_read);

/// What stands at `path`, or where its symbolic links lead, when that is neither a regular file nor nothing:
/// "a folder", "a FIFO", "a socket", "a device"; else empty.
std::string special_kind(const std::filesystem::path& path);

/// Throws Error(failed) when something stands at `path` that a new file must not replace: a folder or a
/// device.
void require_replaceable(const std::filesystem::path& path);

/// A file that appears under its name only when commit() succeeds: written beside its place, synced, renamed.
/// Destroyed without commit() it leaves nothing behind.
class AtomicFile {
  public:
    /// Creates the temporary file in `beside` (which must exist), a folder of the same file system; by
    /// default in `path`'s own. A process that is killed between naming and renaming it leaves it there.
    /// Throws Error(failed), also when `path` is no regular file (require_replaceable).
    explicit AtomicFile(std::filesystem::path path, std::filesystem::path beside = {});
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    void write(std::string_view bytes);
    /// Gives the new file the permissions of the one it replaces, and its owner and group where that may be.
    void keep_permissions();
    /// Flushes to disk and renames into place. Throws Error(failed); then nothing has changed.
    void commit();

  private:
    void open_named();
    void give_name();

    std::filesystem::path m_path;
    std::filesystem::path m_beside;
    std::filesystem::path m_temporary;
    int m_fd = -1;
};

/// Replaces the file with `bytes`, atomically.
void write_file(const std::filesystem::path& path, std::string_view bytes);

/// As write_file, for files of the user's: a symbolic link stays and the file that it names is replaced,
/// which keeps its permissions and, where possible, its owner.
void rewrite_file(const std::filesystem::path& path, std::string_view bytes);

/// Writes a file's bytes to the disk: a name that outlives a loss of power must not outlive its bytes.
std::error_code sync_to_disk(const std::filesystem::path& file);

/// The value of an environment variable, if it is set and not empty.
std::optional<std::string> environment_variable(const char* name);

/// Whether an environment variable is set to 1, ON, YES or TRUE in any case (huggingface_hub's rule).
bool environment_flag(const char* name);

/// The user's home folder ($HOME, else the password database).
std::filesystem::path home_directory();

/// `~` and `~/…` expanded.
std::filesystem::path expand_user(std::string_view path);

/// The same, then `$NAME` and `${NAME}` replaced by what the environment has for them, where it has
/// something.
std::filesystem::path expand_variables(std::string_view path);

}  // namespace kernels
