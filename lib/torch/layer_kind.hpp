// What tells layers apart but for the values of their weights.
#pragma once

#include <torch/script.h>

#include <functional>
#include <string>

namespace kernels::torchscript {

/// The code of the layer's forward, or another method, equal for layers of one class whatever torch numbers
/// it by.
std::string code_of(const torch::jit::Module& layer, const std::string& method = "forward");

/// The numbers in the layer and all that are in it, and of each tensor what `of_tensor` tells.
std::string numbers_of(const torch::jit::Module& layer,
                       const std::function<std::string(const at::Tensor&)>& of_tensor);

}  // namespace kernels::torchscript
