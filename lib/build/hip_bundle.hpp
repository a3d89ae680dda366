// HIP's offload bundles, as clang-offload-bundler writes them.
#pragma once

#include <set>
#include <string>
#include <string_view>

namespace kernels::build {

/// Adds the gfx targets of all bundles in a `.hip_fatbin` section, plain or compressed (zlib, zstd), and what
/// could not be read.
void read_hip_section(std::string_view section, std::set<std::string>& gfx, std::set<std::string>& problems);

}  // namespace kernels::build
