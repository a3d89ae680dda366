// Modules by their path.
#pragma once

#include <torch/script.h>

#include <optional>
#include <string>

namespace kernels::torchscript {

/// The module at a path such as "blocks.0.norm", the model itself for an empty one; nothing when there is
/// none.
std::optional<torch::jit::Module> module_at(const torch::jit::Module& model, const std::string& path);

/// The attribute at a path such as "norm.weight". Throws what torch throws when there is none.
c10::IValue attribute_at(const torch::jit::Module& model, const std::string& path);
void set_attribute_at(const torch::jit::Module& model, const std::string& path, const c10::IValue& value);

}  // namespace kernels::torchscript
