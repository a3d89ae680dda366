// Memory whose surroundings are watched.
#pragma once

#include <cstddef>
#include <optional>

namespace kernels::torchscript {

/// While one lives, what tensors on the CPU get is surrounded by 64 bytes of NaN on both sides: a kernel that
/// writes there is found out, and one that reads there gets NaN. For the whole process; not nested.
class GuardedMemory {
  public:
    GuardedMemory();
    ~GuardedMemory();
    GuardedMemory(const GuardedMemory&) = delete;
    GuardedMemory& operator=(const GuardedMemory&) = delete;

    /// Whether the surroundings of anything that was given out since the beginning have changed.
    static bool damaged();

    /// How many bytes were given out at this address; nothing for memory from elsewhere.
    static std::optional<std::size_t> size_of(const void* data);
};

}  // namespace kernels::torchscript
