// What a kernel's package defines, to TorchScript's compiler: functions, autograd functions, records,
// modules.
#pragma once

#include <torch/csrc/jit/frontend/sugared_value.h>
#include <torch/script.h>

#include <memory>
#include <string>

#include "hub_compilation.hpp"

namespace kernels::torchscript {

/// A function: compiled for the types it is called with, as Python would.
std::shared_ptr<torch::jit::SugaredValue> function_value(std::shared_ptr<HubCompilation> compilation,
                                                         source::FunctionSource function);

/// What a name stands for that `from` uses; nullptr when it stands for nothing. Throws Error(kernelize) for
/// what TorchScript cannot use.
std::shared_ptr<torch::jit::SugaredValue> symbol_value(const source::Symbol& symbol, const std::string& name,
                                                       const std::shared_ptr<HubCompilation>& compilation,
                                                       const source::FunctionSource& from,
                                                       torch::jit::GraphFunction& method,
                                                       const torch::jit::SourceRange& where);

}  // namespace kernels::torchscript
