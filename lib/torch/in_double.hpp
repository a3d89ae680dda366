// A model in float64, to tell what is exact.
#pragma once

#include <torch/script.h>

#include <vector>

namespace kernels::torchscript {

/// Whether the code of the module, or of one in it, names `dtype` as one to convert to. Tracing writes
/// x.to(y.dtype) so, and such code rounds in any dtype that it is run in.
bool converts_to(const torch::jit::Module& module, at::ScalarType dtype);

/// The places of the node's inputs that name a dtype narrower than float64.
std::vector<std::size_t> narrow_dtypes_of(const torch::jit::Node& node);

/// Makes the graph name float64 in their place.
void compute_in_double(torch::jit::Graph& graph);

/// Whether code of the module forks, or calls what is behind an interface: libtorch runs that from the
/// function's own compiled copy.
bool calls_apart(const torch::jit::Module& module);

/// A deep copy with its floating tensors in float64. It shares the code, which may name other dtypes: see
/// Dtypes::in_double; but where that would not reach all, see calls_apart, it has code of its own.
torch::jit::Module in_double(const torch::jit::Module& module);

}  // namespace kernels::torchscript
