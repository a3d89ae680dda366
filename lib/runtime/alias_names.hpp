// Schemas that mark an output as `Tensor!`, which TorchScript's alias analysis does not take.
#pragma once

#include <ATen/core/function_schema.h>

#include "kernels/runtime/manifest.hpp"

namespace kernels::runtime {

/// Whether an argument is written without a name for the alias (`Tensor!`).
KERNELS_RUNTIME_API bool writes_without_alias_name(const c10::Argument& argument);

/// The schema with `Tensor(a!)` in the place of `Tensor!`, a letter for each argument.
KERNELS_RUNTIME_API c10::FunctionSchema with_alias_names(const c10::FunctionSchema& schema);

}  // namespace kernels::runtime
