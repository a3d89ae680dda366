#include "process_mark.hpp"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace kernels {

std::string host_name() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

bool is_gone(int pid) {
    return ::kill(pid, 0) != 0 && errno == ESRCH;
}

}  // namespace kernels
