// What a computation would be with other roundings.
#pragma once

#include <ATen/core/Generator.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/script.h>

#include <cstdint>

namespace kernels::torchscript {

/// Moves what operators give by about as much as their last rounding did.
class OtherRoundings {
  public:
    /// Random numbers of its own: those of the model stay the same.
    explicit OtherRoundings(std::uint64_t seed);

    /// The floating results of the node that are in the stack, but for those that share memory with its
    /// arguments.
    void apply(const torch::jit::Node& node, torch::jit::Stack& stack);

  private:
    at::Tensor moved(const at::Tensor& tensor);

    at::Generator m_generator;
};

}  // namespace kernels::torchscript
