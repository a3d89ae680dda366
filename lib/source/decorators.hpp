// What the decorators of a function say of it.
#pragma once

#include <string>

#include "expression_printer.hpp"
#include "hub_module.hpp"

namespace kernels::source {

/// The language of a kernel that is written in Python ("Triton"), by the decorators of a function; else
/// empty.
std::string kernel_language(const FunctionSource& function);

/// Whether gradients are off while the function runs.
bool runs_without_grad(const FunctionSource& function);

/// Throws Error(kernelize) with the place for a decorator that may change what the function does.
void require_harmless_decorators(const FunctionSource& function, const Scope& scope);

}  // namespace kernels::source
