// replace_kernel_forward_from_hub: layers of a type that cannot be changed, here torch's own ReLU, with a
// condition.
#include <torch/torch.h>

#include <iostream>

#include "expect.hpp"
#include "kernels/torch/native.hpp"

using kernels::KernelVersion;
using namespace kernels::layer;
using kernels::native::replace_kernel_forward_from_hub;
using torch::nn::ReLUImpl;

namespace {

int example() {
    const torch::NoGradGuard no_gradients;
    // Elements of Sequential can be replaced: they are called through AnyModule. A member that is declared as
    // torch::nn::ReLU cannot; declare it as UseKernelForwardFromHub<torch::nn::ReLUImpl, "ReLU">.
    torch::nn::Sequential model(torch::nn::Linear(8, 8), torch::nn::ReLU(), torch::nn::Linear(8, 8),
                                torch::nn::ReLU(torch::nn::ReLUOptions().inplace(true)));
    const auto x = torch::rand({4, 8});
    const auto expected = model->forward(x);

    const auto scope = use_kernel_mapping({
        {"ReLU", "cpu", LayerRepository("kernels-demo/transformer-ops", "ReLU", KernelVersion{1})},
    });
    const auto report = kernels::native::kernelize(
        *model, {.mode = Mode::inference},
        {replace_kernel_forward_from_hub<ReLUImpl>(
            "ReLU", [](const ReLUImpl& relu) { return !relu.options.inplace(); })});
    int replaced = 0;
    for (const auto& row : report.layers) {
        std::cout << row.module << ": " << row.status << " " << row.reason << "\n";
        replaced += row.status == "replaced" ? 1 : 0;
    }
    return replaced == 1 && report.layers.size() == 2 && model->forward(x).allclose(expected) ? 0 : 1;
}

}  // namespace

int main() {
    return run_example(needs_the_demo_kernel, example);
}
