// Modules to TorchScript's compiler: `self` of a hub layer, its children, and those given to functions.
#pragma once

#include <torch/csrc/jit/frontend/sugared_value.h>
#include <torch/script.h>

#include <memory>

namespace kernels::torchscript {

class HubCompilation;

bool is_module(const c10::TypePtr& type);

/// A module's value with its members, and its forward as a call; the layer itself with what is given for it.
std::shared_ptr<torch::jit::SugaredValue> module_value(torch::jit::Value* module,
                                                       const HubCompilation& compilation);

/// `self` of a layer. Throws for attributes that it lacks and that no constant stands in for.
std::shared_ptr<torch::jit::Self> layer_self(const c10::ClassTypePtr& type,
                                             const HubCompilation& compilation);

}  // namespace kernels::torchscript
