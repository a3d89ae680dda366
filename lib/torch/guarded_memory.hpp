// Memory whose surroundings are watched.
#pragma once

#include <ATen/Tensor.h>

#include <cstddef>
#include <optional>
#include <vector>

namespace kernels::torchscript {

/// While one lives, what tensors on the CPU get is surrounded by 64 bytes of NaN on both sides: a kernel that
/// writes there is found out, and one that reads there gets NaN. For the whole process; not nested.
class GuardedMemory {
  public:
    /// More than `most` bytes in use at once are refused: std::runtime_error.
    explicit GuardedMemory(std::optional<std::size_t> most = std::nullopt);
    ~GuardedMemory();
    GuardedMemory(const GuardedMemory&) = delete;
    GuardedMemory& operator=(const GuardedMemory&) = delete;

    /// Whether the surroundings of anything that was given out since the beginning have changed, or those of
    /// these tensors.
    static bool damaged(const std::vector<at::Tensor>& older);

    /// The most that was in use at once since the beginning, of what was given out since then, in bytes.
    static std::size_t peak();

    /// How many bytes were given out at this address; nothing for memory from elsewhere.
    static std::optional<std::size_t> size_of(const void* data);
};

}  // namespace kernels::torchscript
