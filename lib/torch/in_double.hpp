// A model in float64, to tell what is exact.
#pragma once

#include <torch/script.h>

#include <map>

namespace kernels::torchscript {

/// Whether the code of the module, or of one in it, names `dtype` as one to convert to. Tracing writes
/// x.to(y.dtype) so, and such code rounds in any dtype that it is run in.
bool converts_to(const torch::jit::Module& module, at::ScalarType dtype);

/// Makes deep copies of modules with their floating tensors in float64, and float64 for every floating dtype
/// that their code names.
class DoubleCopies {
  public:
    torch::jit::Module of(const torch::jit::Module& module);

  private:
    /// The first module of each class whose code had to be another one. libtorch keeps code as long as the
    /// model, so a model of many equal layers may not have it anew for each.
    std::map<c10::ClassTypePtr, torch::jit::Module> m_rewritten;
};

}  // namespace kernels::torchscript
