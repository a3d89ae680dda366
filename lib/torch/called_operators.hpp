// Which operators outside of torch a function or a model calls.
#pragma once

#include <torch/script.h>

#include <map>
#include <set>
#include <string>

#include "kernels/runtime/manifest.hpp"

namespace kernels::torchscript {

/// How often the function calls each operator, by its name "namespace::name", with all functions and methods
/// below it. Counts stay below 2^31.
std::map<std::string, int> operators_called(const torch::jit::Function& function);

/// The operators that any method of any module of the model calls.
std::set<std::string> operators_called(const torch::jit::Module& model);

/// Notes with every kernel of the manifest the schemas of its operators that the model calls, as TorchScript
/// knows them; nothing with one whose schemas would not be read back as they are.
void note_operators(const torch::jit::Module& model, runtime::Manifest& manifest);

}  // namespace kernels::torchscript
