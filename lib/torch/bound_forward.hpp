// A kernel's forward with a C++ layer as `self`.
#pragma once

#include <torch/script.h>
#include <torch/torch.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/torch/extensible.hpp"
#include "loaded_kernel.hpp"

namespace kernels::native {

class BoundForward {
  public:
    /// Compiles the kernel's forward on a class that has what the layer has. Throws Error(kernelize) with the
    /// reason when that is not possible, or when the forwards do not fit together.
    BoundForward(std::shared_ptr<const torchscript::LoadedKernel> kernel, const ExtensibleLayer& layer);

    /// Runs it. `layer` is the one that it was made for; tensors and attributes that it has got since are
    /// taken over first.
    c10::IValue call(const ExtensibleLayer& layer, std::vector<c10::IValue> arguments);

    const std::shared_ptr<const torchscript::LoadedKernel>& kernel() const noexcept { return m_kernel; }
    const torch::jit::Function& function() const { return m_self.get_method("forward").function(); }

  private:
    void bind(const ExtensibleLayer& layer);
    void check_signature(const ExtensibleLayer& layer) const;

    std::shared_ptr<const torchscript::LoadedKernel> m_kernel;
    torch::jit::Module m_self;
    std::mutex m_mutex;
};

}  // namespace kernels::native
