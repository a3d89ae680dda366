// List comprehensions with conditions, which TorchScript has not.
#pragma once

#include <string>

#include "expression_printer.hpp"

namespace kernels::source {

/// `[e for x in xs if c]` as hub_flat of lists of one element or none. All is computed in Python's order and
/// as often. Throws Error(kernelize) with file and line for what cannot be written so.
std::string print_chosen_list(const Expression& comprehension, const Scope& scope);

}  // namespace kernels::source
