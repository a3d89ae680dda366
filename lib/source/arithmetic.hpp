// Arithmetic of constants, which Python does with whole numbers of any size and TorchScript with 64 bits.
#pragma once

#include <cstdint>
#include <optional>

#include "expression_printer.hpp"

namespace kernels::source {

/// Throws Error(kernelize) with file and line where constants in the expression, those of the package
/// included, give in Python what TorchScript does not: a whole number beyond 64 bits, an error, characters
/// beyond ASCII that are counted.
void require_equal_arithmetic(const Expression& expression, const Scope& scope);

/// The whole number that the expression is whenever it is computed, of constants of the package and variables
/// that are assigned to once; none where that is not known. Throws as require_equal_arithmetic does.
std::optional<std::int64_t> known_whole(const Expression& expression, const Scope& scope);

/// Whether a division by this cannot go wrong whatever is divided: a number that is neither 0 nor -1.
bool is_harmless_divisor(const Expression& divisor);

}  // namespace kernels::source
