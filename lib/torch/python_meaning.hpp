// What libtorch's compiler silently makes of a source where Python does otherwise.
#pragma once

#include <torch/csrc/jit/ir/ir.h>

namespace kernels::torchscript {

/// Throws Error(kernelize) with the place where the graph of compiled source takes a tensor for a number to
/// compute with (Python computes tensors), computes with the text of what TorchScript writes otherwise (a
/// dtype, a float), takes a text for a device to compare with one, or mixes whole numbers and floats where
/// Python keeps the type of each.
void require_python_meaning(const torch::jit::Graph& graph);

/// Throws Error(kernelize) with the place where the compiler has made a whole number of a bool that meets a
/// tensor. Only while it compiles: then it computes what is constant, and nothing tells the bool any more.
void require_no_bools_with_tensors(const torch::jit::Graph& graph);

}  // namespace kernels::torchscript
