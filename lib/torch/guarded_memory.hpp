// Memory whose surroundings are watched.
#pragma once

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
};

}  // namespace kernels::torchscript
