// Methods of tensors that TorchScript has under another name or with stricter arguments.
#pragma once

#include <string>

#include "expression_printer.hpp"

namespace kernels::source {

/// The call of such a method; empty for any other call.
std::string print_tensor_method(const Expression& call, const Scope& scope);

}  // namespace kernels::source
