// The files in which blobs arrive. A part that nobody writes to is `blobs/<etag>.incomplete`; while a process
// writes, it has a name of its own, `blobs/<etag>.<host>-<pid>.incomplete`. The lock on the blob keeps others
// away, but some network file systems grant every lock: then two processes must not write to one file.
#pragma once

#include <filesystem>

namespace kernels::hub {

/// A path for this process to write `blob` to; what may be continued is there already. The lock on the blob
/// must be held. Throws Error(failed) when something that is no file has the part's name.
std::filesystem::path claim_part(const std::filesystem::path& blob);

/// Gives what claim_part() named back, for any process to continue.
void release_part(const std::filesystem::path& part, const std::filesystem::path& blob);

/// Whether nobody will continue `part` (a name below blobs/ that ends in .incomplete): the blob is complete,
/// or the part has another program's name and has not changed for a day.
bool is_leftover(const std::filesystem::path& part);

}  // namespace kernels::hub
