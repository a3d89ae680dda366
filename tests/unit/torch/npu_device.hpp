// A device `npu` for tests: PrivateUse1, renamed as the Ascend extension renames it, on host memory.
// Operators that have no kernel for it run on the CPU.
#pragma once

namespace kernels::testing {

/// Registers the device, once a process.
void make_npu_device();

}  // namespace kernels::testing
