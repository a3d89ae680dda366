// What TorchScript takes for equal and Python does not.
#pragma once

#include "expression_printer.hpp"

namespace kernels::source {

/// Throws Error(kernelize) with file and line where the two sides of == or != are of kinds that are never
/// equal in Python: a dtype and a number, a device and a text, a list and a tuple or shape.
void require_comparable(const Expression& left, const Expression& right, const Scope& scope);

/// What is compared in the place of a side: of `tuple(x.shape)` the shape.
const Expression& compared(const Expression& side, const Scope& scope);

}  // namespace kernels::source
