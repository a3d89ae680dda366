// Names that nothing else gives at the same time.
#pragma once

#include <string>

namespace kernels {

/// "PID-N": another one with each call, of any thread of this process and of other processes of this machine.
std::string unique_name();

}  // namespace kernels
