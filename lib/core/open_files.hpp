// The limit on open files.
#pragma once

#include <optional>
#include <string>

namespace kernels {

/// What to do when a system call failed with `error` because too many files are open; nothing for other
/// errors.
std::optional<std::string> open_files_hint(int error);

}  // namespace kernels
