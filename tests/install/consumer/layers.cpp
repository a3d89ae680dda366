// A C++ model with an extensible layer, from the installed headers alone.
#include <kernels/torch/native.hpp>

#include <iostream>

using namespace kernels::layer;

struct PlainHalf : torch::nn::Module {
    PlainHalf() { register_parameter("weight", torch::ones({1})); }
    torch::Tensor forward(const torch::Tensor& x) { return x / 2; }
};
using HalfImpl = kernels::native::UseKernelForwardFromHub<PlainHalf, "Half">;
TORCH_MODULE(Half);

int main() {
    Half half;
    const auto scope = use_kernel_mapping({
        {"Half", Device("cuda", CUDAProperties(80, 90)),
         LayerRepository("org/half", "Half", kernels::KernelVersion{1})},
    });
    const auto report = kernels::native::kernelize(*half, {.mode = Mode::inference | Mode::torch_compile});
    const auto& row = report.layers.at(0);
    std::cout << row.layer << ": " << row.status << ": " << row.reason << "\n";
    const bool kept = row.status == "kept" && half(torch::ones({1})).item<float>() == 0.5F;
    try {
        kernels::native::kernelize(
            *half, {.mode = kernels::layer::Mode::inference, .device = "cpu", .use_fallback = false});
        return 1;
    } catch (const kernels::Error& error) {
        std::cout << error.what() << "\n";
    }
    return kept ? 0 : 1;
}
