// Two calls in a row.
#pragma once

#include <string>

#include "pair_check.hpp"

namespace kernels::torchscript {

/// What is wrong with the replacement's next call, on other values: what a model remembers may show there
/// alone, as what is written at another place of a cache does. Empty where nothing is, or where the original
/// refuses such a call.
std::string fault_of_next_call(const Pair& pair, const InputCase& one, const CheckOptions& options);

}  // namespace kernels::torchscript
