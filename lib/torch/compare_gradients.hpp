// Whether the gradients of a replacement are the original's.
#pragma once

#include "pair_check.hpp"

namespace kernels::torchscript {

/// Compares them on the case, for what `outcome` has of the results' comparison, and puts into it what was
/// found. Nothing is compared where the original gives none, or none that are finite.
void compare_gradients(Pair& pair, const InputCase& one, const CheckOptions& options, Outcome& outcome);

}  // namespace kernels::torchscript
