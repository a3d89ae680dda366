// kernelize: a TorchScript model, for inference and then for training, with a report.
#include <torch/script.h>

#include <iostream>

#include "expect.hpp"
#include "kernels/core/error.hpp"
#include "kernels/torch/kernelize.hpp"

using kernels::KernelVersion;
using namespace kernels::layer;
using kernels::torchscript::kernelize;

namespace {

// As torch::jit::load("model.pt") would give it.
torch::jit::Module make_model() {
    torch::jit::Module activation("__torch__.demo.SiluAndMul");
    activation.define(R"(
def forward(self, x):
    d = x.shape[-1] // 2
    return torch.silu(x[..., :d]) * x[..., d:]
)");
    torch::jit::Module model("__torch__.demo.Model");
    model.register_parameter("weight", torch::rand({16, 8}), false);
    model.register_module("activation", activation);
    model.define("def forward(self, x):\n    return self.activation.forward(torch.linear(x, self.weight))\n");
    return model;
}

void print(const kernels::runtime::Manifest& report) {
    for (const auto& row : report.layers) {
        std::cout << report.mode << ": " << row.module << " (" << row.layer << "): " << row.status << " "
                  << (row.reason.empty() ? row.hub_layer + ", " + row.variant : row.reason) << "\n";
    }
}

int example() {
    register_kernel_mapping({
        {"SiluAndMul", "cpu",
         LayerRepository("kernels-demo/transformer-ops", "SiluAndMul", KernelVersion{1})},
    });
    auto model = make_model();
    const auto x = torch::rand({4, 8});
    const auto expected = model.forward({x}).toTensor();

    // The device is that of the parameters; a layer without a kernel keeps its forward, and the report says
    // why.
    auto report = kernelize(model, {.mode = Mode::inference});
    print(report);
    if (report.layers.front().status != "replaced") return 1;
    if (!model.forward({x}).toTensor().allclose(expected, 1e-5, 1e-6)) return 1;

    // Another mode starts from the original forwards again. This kernel has no gradients, so it is not used.
    report = kernelize(model, {.mode = Mode::training, .device = "cpu"});
    print(report);
    if (report.layers.front().status != "kept") return 1;
    if (!model.forward({x}).toTensor().equal(expected)) return 1;

    try {
        kernelize(model, {.mode = Mode::training, .use_fallback = KernelizeFallback::none});
        return 1;
    } catch (const kernels::Error& error) {
        std::cout << "use_fallback none: " << error.what() << "\n";
    }
    return 0;
}

}  // namespace

int main() {
    return run_example(needs_the_demo_kernel, example);
}
