// What a function's source holds that TorchScript would read otherwise than Python, or not at all. All throw
// Error(kernelize) with file and line.
#pragma once

#include "expression_printer.hpp"

namespace kernels::source {

/// Of a function as a whole: TorchScript's names are ASCII; a loop over a list goes on in Python while its
/// body appends to the list; TorchScript writes loops over tuples out, loops within loops too, which must
/// stay small.
void require_like_python(const FunctionSource& function, const Scope& scope);

/// The names of a default or constant had their values when it was computed, and not later ones.
void require_settled_names(const Expression& value, const FunctionSource& owner);

/// Whether a `break` of the block leaves the loop whose body it is.
bool has_break(const Block& body);

}  // namespace kernels::source
