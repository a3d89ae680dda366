// The attention functions of Python's transformers package, which layers choose by name.
#pragma once

#include <torch/csrc/jit/frontend/sugared_value.h>

#include <memory>
#include <string>

namespace kernels::torchscript {

class HubCompilation;

/// The table that `path` names ("transformers.modeling_utils.ALL_ATTENTION_FUNCTIONS"); nullptr for others.
std::shared_ptr<torch::jit::SugaredValue> attention_functions(const std::string& path,
                                                              HubCompilation& compilation);

}  // namespace kernels::torchscript
