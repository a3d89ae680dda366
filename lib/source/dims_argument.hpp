// Tuples of ranges, whose length shows when the layer runs.
#pragma once

#include <string>

#include "expression_printer.hpp"

namespace kernels::source {

/// Whether a `tuple(range(…))` is given for dimensions (`x.sum(tuple(range(1, x.dim())))`), at once or by a
/// variable that serves nothing else: there a list means the same, which TorchScript has.
bool is_tuple_of_dims(const Expression& e, const Scope& scope);

/// The numbers of a range as a list; empty for anything else.
std::string print_listed_range(const Expression& e, const Scope& scope);

}  // namespace kernels::source
