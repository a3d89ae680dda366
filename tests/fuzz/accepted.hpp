// What the fuzz targets and their driver share.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kernels::fuzz {

/// Inputs, or functions of them, that got to the end. A run in which none does tests nothing.
inline long accepted = 0;

}  // namespace kernels::fuzz

/// Reads one input to its end. Anything but a return is a finding.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
