// Which process of which machine something belongs to.
#pragma once

#include <string>

namespace kernels {

/// The machine's name; empty when it has none.
std::string host_name();

/// No process of this machine has the number `pid`.
bool is_gone(int pid);

}  // namespace kernels
