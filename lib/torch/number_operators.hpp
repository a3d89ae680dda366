// `&`, `|`, `^` and `**`, of whose numbers TorchScript makes others than Python.
#pragma once

#include <torch/csrc/jit/frontend/sugared_value.h>

#include <memory>
#include <string>

namespace kernels::torchscript {

/// What the lowered source calls for these operators (`hub_bitand` …, with `_` behind it where they work in
/// place); nullptr for any other name.
std::shared_ptr<torch::jit::SugaredValue> number_operator(const std::string& name);

/// An operator of torch that makes whole numbers of bools: `torch.where` and `torch.full`, which then refuse
/// them; nullptr for any other name.
std::shared_ptr<torch::jit::SugaredValue> operator_without_bools(const std::string& name);

}  // namespace kernels::torchscript
