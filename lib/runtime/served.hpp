// Whether the devices of this machine can run what a kernel's library holds.
#pragma once

#include <string>

#include "kernels/build/target.hpp"
#include "kernels/runtime/manifest.hpp"

namespace kernels::runtime {

/// The GPU that this process computes on as `device` ("cuda", "rocm"), as far as the driver tells: a target
/// with its backend and capability or arch.
build::Target device_here(const std::string& device);

/// Why the library holds no code for the target's GPU. Empty when it, or another library in its folder, does,
/// when nothing tells, and when the user has set KERNELS_NO_DEVICE_CHECK. The library is read, not loaded.
KERNELS_RUNTIME_API std::string why_not_served(const std::string& library, const build::Target& target);

}  // namespace kernels::runtime
