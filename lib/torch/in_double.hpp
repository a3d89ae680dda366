// A model in float64, to tell what is exact.
#pragma once

#include <torch/script.h>

namespace kernels::torchscript {

/// Whether the code of the module, or of one in it, names `dtype` as one to convert to. Tracing writes
/// x.to(y.dtype) so, and such code rounds in any dtype that it is run in.
bool converts_to(const torch::jit::Module& module, at::ScalarType dtype);

/// A deep copy with its floating tensors in float64, and float64 for every floating dtype that its code
/// names.
torch::jit::Module in_double(const torch::jit::Module& module);

}  // namespace kernels::torchscript
