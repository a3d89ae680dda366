// A model with one layer, and a kernel with operators of its own for it, for the tests of kernelizing.
#pragma once

#include <torch/script.h>

#include <atomic>
#include <string>

#include "kernelizing.hpp"
#include "kernels/core/error.hpp"

namespace kernels::testing {

/// How often the operator `twice` ran; the operators are in test_kernelize.cpp.
inline std::atomic<int> twice_calls{0};

inline const std::string twice_source =
    "class Twice(nn.Module):\n"
    "    can_torch_compile = True\n\n"
    "    def forward(self, x: torch.Tensor) -> torch.Tensor:\n"
    "        return ops.twice(x)\n";

// A model whose child `act` adds 1.
inline torch::jit::Module model_with_act(
    const std::string& forward = "def forward(self, x):\n    return x + 1\n") {
    torch::jit::Module act("__torch__.pkg.Act");
    act.register_parameter("weight", torch::ones({2}), false);
    act.define(forward);
    torch::jit::Module model("__torch__.pkg.Model");
    model.register_module("act", act);
    model.define("def forward(self, x):\n    return self.act.forward(x) * 10\n");
    return model;
}

inline double result(torch::jit::Module& model) {
    return model.forward({torch::full({2}, 5.0)}).toTensor()[0].item<double>();
}

// The message of the error; empty when there was none.
template <typename Call>
std::string message_of(Call call) {
    try {
        call();
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

}  // namespace kernels::testing
