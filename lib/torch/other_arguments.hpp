// Arguments that are no tensors: numbers, flags, and what may be None.
#pragma once

#include "input_cases.hpp"

namespace kernels::torchscript {

/// Cases in which one such argument is another, of those that the original takes. A kernel may refuse them:
/// the model does not use them. Returns the names of arguments of which there is none.
std::vector<std::string> add_other_arguments(const std::vector<c10::IValue>& arguments,
                                             const c10::FunctionSchema& schema, const Accepts& accepts,
                                             std::vector<InputCase>& cases);

/// The numbers, flags and texts of a module and all that are in it, by name. They are part of the model and
/// no call gives others.
std::vector<std::string> own_numbers(const torch::jit::Module& module);

}  // namespace kernels::torchscript
