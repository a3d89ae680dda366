// Functions of torch.nn.functional, which compute as Python's do.
#pragma once

#include <torch/csrc/jit/frontend/sugared_value.h>

#include <memory>
#include <string>

namespace kernels::torchscript {

class HubCompilation;

/// torch.nn.functional.NAME; nullptr for what cannot be compiled.
std::shared_ptr<torch::jit::SugaredValue> functional_value(const std::string& name,
                                                           HubCompilation& compilation);

/// TorchScript source of functions of torch.nn.functional that are written in Python: of those that layers
/// call most.
const char* functional_source();

/// The same of poolings and losses.
const char* pooling_and_loss_source();

}  // namespace kernels::torchscript
