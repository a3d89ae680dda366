// The variable of a loop, which Python keeps behind it.
#pragma once

#include <string>

#include "expression_printer.hpp"

namespace kernels::source {

/// Statements around a loop without which TorchScript would know nothing of its variable behind it; each may
/// be empty.
struct AroundLoop {
    std::string before;
    std::string behind;
};

/// Throws Error(kernelize) with file and line where a variable is read behind the loop and what it is there
/// cannot be told.
AroundLoop around_loop(const Statement& loop, const FunctionSource& function);

}  // namespace kernels::source
