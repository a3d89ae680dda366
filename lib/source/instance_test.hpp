// isinstance(value, type), of whose types TorchScript has fewer.
#pragma once

#include <string>

#include "expression_printer.hpp"

namespace kernels::source {

/// The call, which has two arguments. Throws Error(kernelize) where TorchScript would answer otherwise.
std::string print_instance_test(const Expression& call, const Scope& scope);

}  // namespace kernels::source
