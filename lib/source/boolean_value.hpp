// `a or b` and `a and b` where their value counts and not only its truth.
#pragma once

#include "expression_printer.hpp"

namespace kernels::source {

/// `expression`, of kind boolean, as what gives the side that Python gives: TorchScript's own `or` and `and`
/// give a bool. The side in front is computed once, the other only when Python does. Throws Error(kernelize)
/// with file and line for what TorchScript has not.
std::string print_boolean_value(const Expression& expression, const Scope& scope);

}  // namespace kernels::source
