// Types of parameters of which neither an annotation nor a caller tells.
#pragma once

#include <torch/script.h>

#include "hub_compilation.hpp"

namespace kernels::torchscript {

/// By what the function does with it: what an op or a function takes that it is handed to as it is, a text
/// when it is compared with one, a tuple when it is unpacked. nullptr when nothing of it tells.
c10::TypePtr type_by_use(const HubCompilation& compilation, const source::FunctionSource& function,
                         const source::Parameter& parameter);

/// Of a default such as 1e-6, "silu" or (-1, -1); nullptr for others, also for None.
c10::TypePtr type_of_literal(const source::Expression& value);

}  // namespace kernels::torchscript
