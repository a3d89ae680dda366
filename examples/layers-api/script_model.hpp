// A TorchScript model as torch::jit::load("model.pt") would give it: a gate after a linear layer, and an
// activation that Python's use_kernel_func_from_hub made of a function.
#pragma once

#include <torch/script.h>

inline torch::jit::Module make_model() {
    torch::jit::Module gate("__torch__.demo.Gate");
    gate.register_attribute("size", c10::IntType::get(), 8);
    gate.define(R"(
def forward(self, x):
    d = x.shape[-1] // 2
    return torch.silu(x[..., :d]) * x[..., d:]
)");
    // As tracing leaves such a function: a module without a name that would tell what it is.
    torch::jit::Module function("__torch__.kernels.layer.layer.Func");
    function.define("def forward(self, x):\n    return torch.relu(x)\n");
    torch::jit::Module model("__torch__.demo.Model");
    model.register_parameter("weight", torch::rand({16, 8}), false);
    model.register_module("gate", gate);
    model.register_module("activation", function);
    model.define(R"(
def forward(self, x):
    return self.activation.forward(self.gate.forward(torch.linear(x, self.weight)) - 1.)
)");
    return model;
}
