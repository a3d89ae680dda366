// Where torch's random number generators are.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace kernels::torchscript {

/// The states, at the time of construction, of the generators that at::manual_seed() seeds: the CPU's and
/// those of the accelerator's devices.
class RandomState {
  public:
    RandomState();
    bool operator==(const RandomState& other) const;

  private:
    std::vector<at::Tensor> m_states;
};

}  // namespace kernels::torchscript
