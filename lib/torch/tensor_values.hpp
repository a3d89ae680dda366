// torch.tensor and Tensor.new_tensor, and the numbers that they are made of.
#pragma once

#include <torch/csrc/jit/frontend/sugared_value.h>

#include <memory>
#include <string>

namespace kernels::torchscript {

class HubCompilation;

/// torch.tensor; `hub_new_tensor`, which the lowered source calls for x.new_tensor(…) with x in front.
std::shared_ptr<torch::jit::SugaredValue> tensor_value(const std::string& name, HubCompilation& compilation);

/// A tuple or list of numbers that is written out, whole ones among them, also one of such lists, as a list
/// of floats; other values as they are.
torch::jit::Value* floats_of(torch::jit::Value* value, torch::jit::Graph& graph,
                             const torch::jit::SourceRange& where);

}  // namespace kernels::torchscript
