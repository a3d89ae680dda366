// Calls that nothing needs any more.
#pragma once

#include <torch/script.h>

namespace kernels::torchscript {

/// Removes what is dead, calls of functions and methods among it: libtorch keeps every call, also of what
/// only computes a result and draws random numbers for it. A call stays that may raise an exception, change
/// something or print.
void remove_dead_code(torch::jit::Graph& graph);

}  // namespace kernels::torchscript
