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

/// Whether the result is as near to the exact one as float32 is, so that its code rounds to nothing narrower.
bool is_rounded_as_float(const c10::IValue& result, const c10::IValue& exact);

}  // namespace kernels::torchscript
