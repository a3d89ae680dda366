// What the body of a function does with its names.
#pragma once

#include <string>

#include "expression_printer.hpp"

namespace kernels::source {

/// Whether something in the line or behind it reads the variable, other than `target` itself.
bool is_read_from(int line, const Expression& target, const FunctionSource& function);

/// The line of the first loop that gives a variable its value, where loops that `line` is not in are all that
/// do; else 0.
int loop_that_assigns(const FunctionSource& function, const std::string& name, int line);

/// Whether the variable is read only by exceptions for what they say.
bool only_raised(const std::string& name, const FunctionSource& function);

/// Whether it is an attribute of the autograd context.
bool is_context_value(const Expression& target, const Scope& scope);

/// Whether the statement keeps something on the autograd context that the forward never reads.
bool is_for_backward(const Statement& statement, const Scope& scope);

/// Whether a statement of this value changes nothing that the forward computes: a docstring, what is kept for
/// backward, what only tells people something.
bool is_for_people(const Expression& value, const Scope& scope);

/// Throws Error(kernelize) where break or continue leads out of the block, at whose end something is to be
/// done; `path` names the block.
void require_no_jump(const Block& block, const std::string& path, const FunctionSource& function);

}  // namespace kernels::source
