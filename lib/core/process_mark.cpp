#include "process_mark.hpp"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>

namespace kernels {

std::string host_name() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::optional<int> process_number(std::string_view text) {
    int pid = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), pid);
    if (status != std::errc() || end != text.data() + text.size() || pid < 1) return std::nullopt;
    return pid;
}

bool is_gone(int pid) {
    return ::kill(pid, 0) != 0 && errno == ESRCH;
}

}  // namespace kernels
