// The check of a model's archive before libtorch reads it: a list of its records, or a line of what is wrong.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "accepted.hpp"
#include "kernels/runtime/archive.hpp"

using namespace kernels;

namespace {

// What the callers rely on; libtorch reads by these numbers.
void holds(bool condition) {
    if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const int file = ::memfd_create("archive", 0);
    holds(file >= 0 && ::ftruncate(file, 0) == 0);
    holds(::pwrite(file, data, size, 0) == static_cast<ssize_t>(size));
    for (const auto check : {runtime::ArchiveCheck::structure, runtime::ArchiveCheck::contents}) {
        try {
            for (const auto& record : runtime::check_archive(file, check)) {
                holds(record.offset <= size && record.packed <= size - record.offset);
                holds(record.name.find("/../") == std::string::npos && record.name.front() != '/');
                if (check == runtime::ArchiveCheck::structure) continue;
                const std::string path = "/proc/self/fd/" + std::to_string(file);
                holds(runtime::read_record(path, record, record.unpacked).size() == record.unpacked);
            }
            ++fuzz::accepted;
        } catch (const std::runtime_error&) {
            // What is refused is refused by one; anything else is a finding.
        }
    }
    return 0;
}
