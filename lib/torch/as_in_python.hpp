// Mends graphs of compiled source where libtorch's compiler or its optimizer gives other values than Python.
#pragma once

#include <torch/csrc/jit/ir/ir.h>

namespace kernels::torchscript {

class HubCompilation;

/// `d[key] += x` of a dictionary changes the tensor or list in its place, as it does of a list. While the
/// graph is compiled: then all is there as it was written.
void augment_in_place(torch::jit::Graph& graph);

/// Bools times 1 and plus 0 are numbers: libtorch leaves such products and sums out when it runs, whatever
/// the dtype. For graphs in which functions are inlined.
void compute_ones_and_zeros(torch::jit::Graph& graph, HubCompilation& compilation);

/// x.view(dtype), which the compiler takes for a size, and of which TorchScript has blocked the operator.
/// Throws Error(kernelize) with the place where what is viewed is changed in place, which libtorch does not
/// see through such a view. For graphs in which functions are inlined.
void view_by_dtype(torch::jit::Graph& graph, HubCompilation& compilation);

}  // namespace kernels::torchscript
