// A file mapped for reading.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "kernels/core/error.hpp"

namespace kernels::build {

/// Libraries can be gigabytes, of which only headers are looked at. The file must not shrink while mapped.
class MappedFile {
  public:
    explicit MappedFile(const std::filesystem::path& path) {
        // A FIFO is refused, not waited for.
        const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        struct stat status {};
        if (fd < 0 || ::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
            const int why = fd < 0 ? errno : EINVAL;
            if (fd >= 0) ::close(fd);
            throw Error(ErrorCode::failed, path.string() + ": cannot read it: " +
                                               (why == EINVAL ? "not a regular file" : std::strerror(why)));
        }
        m_size = static_cast<std::size_t>(status.st_size);
        if (m_size != 0) m_data = ::mmap(nullptr, m_size, PROT_READ, MAP_PRIVATE, fd, 0);
        const int why = errno;
        ::close(fd);
        if (m_data == MAP_FAILED) {
            throw Error(ErrorCode::failed, path.string() + ": cannot map it: " + std::strerror(why));
        }
    }
    ~MappedFile() {
        if (m_data != nullptr && m_data != MAP_FAILED) ::munmap(m_data, m_size);
    }
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    std::string_view bytes() const noexcept { return {static_cast<const char*>(m_data), m_size}; }

  private:
    void* m_data = nullptr;
    std::size_t m_size = 0;
};

}  // namespace kernels::build
