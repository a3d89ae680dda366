// HIP's offload bundles, as clang-offload-bundler writes them.
#pragma once

#include <set>
#include <string>
#include <string_view>

namespace kernels::build {

/// The gfx targets of one bundle, which is that of a translation unit.
using HipUnit = std::set<std::string>;

/// Adds those of all bundles in a `.hip_fatbin` section, plain or compressed (zlib, zstd), and what could not
/// be read.
void read_hip_section(std::string_view section, std::set<HipUnit>& units, std::set<std::string>& problems);

}  // namespace kernels::build
