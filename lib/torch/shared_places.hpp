// Where the nodes of a model come from, kept once.
#pragma once

#include <torch/script.h>

namespace kernels::torchscript {

/// Gives every node the place in Python that it comes from in the stead of the place in the archive's code,
/// which leads there by records that libtorch unpacks for all nodes at once while it saves. Equal texts are
/// held once, and those of the archive are let go. What is saved says the same of every node.
void share_places(const torch::jit::Module& module);

}  // namespace kernels::torchscript
