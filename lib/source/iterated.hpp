// What loops, lists and some functions go through.
#pragma once

#include <string>

#include "expression_printer.hpp"

namespace kernels::source {

/// Whether it is Python's reversed(x), which is no list: it can be gone through once and nothing else.
bool is_reversed(const Expression& expression, const Scope& scope);

/// Whether a function goes through its arguments, and keeps none of them.
bool goes_through(const Expression& callee, const Scope& scope);

/// As print(), of what is gone through; it may be reversed(x).
std::string print_iterated(const Expression& expression, const Scope& scope);

}  // namespace kernels::source
