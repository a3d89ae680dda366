// Names that TorchScript, or a call, has a meaning for.
#pragma once

#include <string>

#include "expression_printer.hpp"

namespace kernels::source {

/// Names that TorchScript takes for its own before it asks what the source means by them.
bool is_torchscript_name(const std::string& name);

/// What the lowered source calls for an operator of whose numbers TorchScript makes others than Python; empty
/// for any other operator.
std::string number_operator(const std::string& op);

/// Functions whose arguments are one shape, given as such or number by number.
bool takes_shape(const Expression& callee);

/// A call with a generator for a function that goes through all of it anyway, and takes a list as well.
bool takes_generator(const Expression& call);

/// A parameter that is said to be a dtype, or None: TorchScript's dtypes are numbers, and one of them is 0.
bool is_dtype_parameter(const std::string& name, const Scope& scope);

}  // namespace kernels::source
