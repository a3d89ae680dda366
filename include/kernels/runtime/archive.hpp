// What is checked about a model file before libtorch reads it. A model comes from anywhere: libtorch believes
// the sizes that an archive states and does not compare checksums.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/runtime/manifest.hpp"

namespace kernels::runtime {

/// A record of a zip archive.
struct ArchiveRecord {
    std::string name;
    std::uint64_t offset = 0;  ///< of its data in the file
    std::uint64_t packed = 0;  ///< bytes in the file
    std::uint64_t unpacked = 0;
    std::uint32_t checksum = 0;  ///< CRC-32 of the unpacked bytes
    bool deflated = false;
};

enum class ArchiveCheck {
    structure,  ///< sizes, places and names
    contents,   ///< also the checksum of every record
};

/// The records of the archive in order. Throws std::runtime_error with a line that says what is wrong,
/// without the file's name, for a file
/// - that is no zip archive, or is cut off, or has something behind its end,
/// - whose records lie outside of it or over each other, or differ in what the two directories say,
/// - with names that are absolute, leave the archive, occur twice or have no common folder,
/// - whose compressed records unpack to more than $KERNELS_UNPACK_LIMIT bytes (256 MiB without it),
/// - with a checksum that does not fit (ArchiveCheck::contents).
/// Needs memory for the list of records only.
KERNELS_RUNTIME_API std::vector<ArchiveRecord> check_archive(const std::string& path, ArchiveCheck check);

/// The same for an open file.
KERNELS_RUNTIME_API std::vector<ArchiveRecord> check_archive(int file, ArchiveCheck check);

/// The unpacked bytes of a record that check_archive gave. Throws std::runtime_error, also when it is larger
/// than `limit` or its checksum does not fit.
KERNELS_RUNTIME_API std::string read_record(const std::string& path, const ArchiveRecord& record,
                                            std::uint64_t limit);

}  // namespace kernels::runtime
