// Numbers as Python's int() reads them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace kernels {

/// The digits of a whole number, behind a minus where it is negative: ASCII digits with single underscores
/// between them, which are left out, and perhaps a sign before them. Nothing for other texts; white space
/// around a number is the caller's.
std::optional<std::string> python_integer(std::string_view text);

}  // namespace kernels
