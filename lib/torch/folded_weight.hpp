// Weights that freezing folded into other numbers: Gemma's 1 + weight is one constant in a frozen model.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/jit/ir/ir.h>

#include <functional>
#include <optional>
#include <vector>

namespace kernels::torchscript {

/// The steps from an attribute to a value that is computed from it and constants alone.
struct FoldedSteps {
    torch::jit::Value* attribute = nullptr;
    std::vector<torch::jit::Node*> nodes;  ///< in the order of computing
};

/// Nothing when the value is computed from anything else. `is_attribute` tells what is read from self.
std::optional<FoldedSteps> steps_from_attribute(
    torch::jit::Value* value, const std::function<bool(const torch::jit::Value*)>& is_attribute);

/// The attribute from which the steps give `folded`, bit for bit; of the dtype `likely` where that is
/// possible. Nothing when there is none, or when a step cannot be undone.
std::optional<at::Tensor> unfolded(const FoldedSteps& steps, const at::Tensor& folded, at::ScalarType likely);

}  // namespace kernels::torchscript
