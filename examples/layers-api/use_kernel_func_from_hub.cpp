// use_kernel_func_from_hub: an extensible function, as a member of the module that calls it.
#include <torch/torch.h>

#include <iostream>

#include "expect.hpp"
#include "kernels/torch/native.hpp"

using kernels::KernelVersion;
using torch::Tensor;
using namespace kernels::layer;
using kernels::native::KernelFunction;
using kernels::native::use_kernel_func_from_hub;

namespace {

Tensor silu_and_mul(const Tensor& x) {
    const auto halves = x.chunk(2, -1);
    return torch::silu(halves[0]) * halves[1];
}

struct GatedMLPImpl : torch::nn::Module {
    explicit GatedMLPImpl(int64_t size)
        : up(register_module("up", torch::nn::Linear(size, 4 * size))),
          activation(register_module("activation", use_kernel_func_from_hub("silu_and_mul", silu_and_mul))),
          down(register_module("down", torch::nn::Linear(2 * size, size))) {}

    Tensor forward(const Tensor& x) { return down(activation(up(x))); }

    torch::nn::Linear up;
    KernelFunction<Tensor(const Tensor&)> activation;
    torch::nn::Linear down;
};
TORCH_MODULE(GatedMLP);

int example() {
    const torch::NoGradGuard no_gradients;
    GatedMLP mlp(32);
    const auto x = torch::rand({4, 32});
    const auto expected = mlp(x);

    const auto scope = use_kernel_mapping({
        {"silu_and_mul", "cpu",
         FuncRepository("kernels-demo/transformer-ops", "silu_and_mul", KernelVersion{1})},
    });
    const auto report = kernels::native::kernelize(*mlp, {.mode = Mode::inference, .use_fallback = false});
    std::cout << report.layers.front().module << " calls " << report.layers.front().hub_layer << " of "
              << report.layers.front().repo << "\n";
    return mlp->activation->kernelized() && mlp(x).allclose(expected, 1e-5, 1e-6) ? 0 : 1;
}

}  // namespace

int main() {
    return run_example(needs_the_demo_kernel, example);
}
