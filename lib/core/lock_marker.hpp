// A lock by the existence of a file, for file systems that know no flock.
#pragma once

#include <filesystem>
#include <optional>

namespace kernels {

/// Makes the file, which must not be there, and writes into it who holds it. The form is that of the Python
/// clients' soft locks: the pid, then the host's name, a line each. False when the file is there already, or
/// a file system error in errno says that it cannot be made.
bool make_marker(const std::filesystem::path& path, int& fd);

/// Writes who holds it into a file that was just made.
void write_marker(int fd);

/// The process that a marker names, if it is one of this host.
std::optional<int> marker_holder(const std::filesystem::path& path);

/// Removes the marker of a process of this host that is gone.
void remove_stale_marker(const std::filesystem::path& path);

}  // namespace kernels
