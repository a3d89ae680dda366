// Tuples of tuples, of which libtorch looks at every part again at every level.
#pragma once

#include <cstddef>

#include "hub_module.hpp"

namespace kernels::source {

/// Parts of a type, and of what is in it; below, libtorch stays well under a second.
inline constexpr std::size_t most_parts = 1000;

/// Throws Error(kernelize) with file and line where a variable or the result of the function has more parts.
void require_small_tuples(const FunctionSource& function);

}  // namespace kernels::source
