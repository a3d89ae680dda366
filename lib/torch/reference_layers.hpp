// The reference layers of a binding with a pattern.
#pragma once

#include <torch/script.h>

#include <vector>

#include "kernels/project/project.hpp"

namespace kernels::torchscript {

/// The layers of the TorchScript file `binding.pattern` that match the binding's globs, each kind of them
/// once. Throws what load_model throws, and Error(not_found) when none matches.
std::vector<torch::jit::Module> reference_layers(const project::Binding& binding);

}  // namespace kernels::torchscript
