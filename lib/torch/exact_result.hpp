// What the original gives in float64, where that is a measure.
#pragma once

#include <torch/script.h>

#include <optional>

#include "pair_check.hpp"

namespace kernels::torchscript {

/// The original's result for the case in float64; nothing where it draws random numbers, or where that is no
/// measure of its own result, which is in `outcome`. On the known call the outcome gets the reason, and the
/// pair is not asked again.
std::optional<c10::IValue> exact_result(Pair& pair, const InputCase& one, const CheckOptions& options,
                                        Outcome& outcome);

}  // namespace kernels::torchscript
