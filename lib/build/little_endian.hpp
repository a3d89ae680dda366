// Bounds-checked reading of little-endian numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace kernels::build {

/// The number at `offset`, or nothing when it does not lie in `bytes` as a whole.
template <typename Unsigned>
std::optional<Unsigned> little_endian(std::string_view bytes, std::size_t offset) {
    if (offset > bytes.size() || sizeof(Unsigned) > bytes.size() - offset) return std::nullopt;
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(Unsigned); ++i)
        value |= std::uint64_t{static_cast<unsigned char>(bytes[offset + i])} << (8 * i);
    return static_cast<Unsigned>(value);
}

}  // namespace kernels::build
