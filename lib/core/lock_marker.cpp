#include "lock_marker.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <string>

#include "process_mark.hpp"
#include "unique_name.hpp"

namespace kernels {

namespace fs = std::filesystem;

bool make_marker(const fs::path& path, int& fd) {
    fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) return false;
    write_marker(fd);
    return true;
}

void write_marker(int fd) {
    const std::string text = std::to_string(::getpid()) + "\n" + host_name() + "\n";
    // Without its text (a full disk) the file is a lock all the same: nobody then knows whose.
    if (::pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) return;
}

std::optional<int> marker_holder(const fs::path& path) {
    std::ifstream in(path);
    std::string number, host;
    if (!std::getline(in, number) || !std::getline(in, host) || host != host_name()) return std::nullopt;
    return process_number(number);
}

void remove_stale_marker(const fs::path& path) {
    const auto holder = marker_holder(path);
    if (!holder || !is_gone(*holder)) return;
    // Several may find it stale at once, and one of them may have made its own meanwhile: what is moved aside
    // is looked at again.
    const fs::path aside = path.parent_path() / (".stale-" + unique_name() + ".lock");
    std::error_code error;
    fs::rename(path, aside, error);
    if (error) return;
    if (marker_holder(aside) != holder) fs::create_hard_link(aside, path, error);
    fs::remove(aside, error);
}

}  // namespace kernels
