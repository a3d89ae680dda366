// use_kernel_forward_from_hub: a C++ layer that is extensible. Its own forward stays the fallback.
#include <torch/torch.h>

#include <iostream>

#include "expect.hpp"
#include "kernels/torch/native.hpp"

using kernels::KernelVersion;
using namespace kernels::layer;

namespace {

struct PlainRMSNorm : torch::nn::Module {
    PlainRMSNorm(int64_t size, double epsilon)
        : weight(register_parameter("weight", torch::ones({size}))), variance_epsilon(epsilon) {}

    torch::Tensor forward(const torch::Tensor& x) {
        std::cout << "the layer's own forward\n";
        const auto variance = x.pow(2).mean(-1, /*keepdim=*/true);
        return weight * (x * torch::rsqrt(variance + variance_epsilon));
    }

    // What the kernel reads from `self` beside parameters and buffers, under its names.
    kernels::native::Attributes kernel_attributes() const { return {{"variance_epsilon", variance_epsilon}}; }

    torch::Tensor weight;
    double variance_epsilon;
};

using RMSNormImpl = kernels::native::UseKernelForwardFromHub<PlainRMSNorm, "RMSNorm">;
TORCH_MODULE(RMSNorm);

int example() {
    const KernelMapping mapping{
        {"RMSNorm", "cpu", LayerRepository("kernels-demo/transformer-ops", "RMSNorm", KernelVersion{1})},
    };
    RMSNorm norm(64, 1e-5);
    const auto x = torch::rand({4, 64});
    const auto expected = norm(x);

    const auto scope = use_kernel_mapping(mapping);
    const auto report = kernels::native::kernelize(*norm, {.mode = Mode::inference});
    std::cout << report.to_json();
    const torch::NoGradGuard no_gradients;
    const auto result = norm(x);
    std::cout << "largest difference " << (result - expected).abs().max().item<double>() << "\n";
    return norm->kernelized() && result.allclose(expected, 1e-5, 1e-6) ? 0 : 1;
}

}  // namespace

int main() {
    return run_example(needs_the_demo_kernel, example);
}
