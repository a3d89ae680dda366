#include "open_files.hpp"

#include <cerrno>

namespace kernels {

std::optional<std::string> open_files_hint(int error) {
    if (error != EMFILE && error != ENFILE) return std::nullopt;
    return "raise the limit on open files (ulimit -n), or fetch fewer at a time";
}

}  // namespace kernels
