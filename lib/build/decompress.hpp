// The start of what zlib or zstd compressed, by libraries that are asked for at run time: only compressed HIP
// bundles need them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace kernels::build {

enum class Compression { zlib, zstd };

struct Decompressed {
    std::string start;     ///< of what was compressed, as far as it was asked for
    std::string failure;   ///< why there is no more of it; empty when there is
    std::size_t size = 0;  ///< how many bytes of the input were read
};

/// Decompresses at least the first `limit` bytes, or all where there are less; what follows in `bytes` is
/// nobody's. `to_the_end`: the rest is run through as well, so that `size` tells where what follows begins.
Decompressed decompress_start(Compression method, std::string_view bytes, std::size_t limit, bool to_the_end);

}  // namespace kernels::build
