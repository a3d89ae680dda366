// `x += y` and the like.
#pragma once

#include <string>

#include "expression_printer.hpp"

namespace kernels::source {

/// The statement, whose target is no attribute, as TorchScript computes what Python does: of `m[0] |= y` its
/// compiler makes a result that nobody gets. Throws Error(kernelize) with file and line for what cannot be
/// written so.
std::string print_augmented(const Statement& statement, const Scope& scope);

}  // namespace kernels::source
