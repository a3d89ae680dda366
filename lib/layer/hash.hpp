// Hashes of several values together.
#pragma once

#include <cstddef>
#include <functional>

namespace kernels::layer {

/// The order of the values counts.
template <typename... Values>
std::size_t hash_all(const Values&... values) noexcept {
    std::size_t seed = 0;
    ((seed ^= std::hash<Values>()(values) + 0x9e3779b97f4a7c15ULL + (seed << 6) + (seed >> 2)), ...);
    return seed;
}

}  // namespace kernels::layer
