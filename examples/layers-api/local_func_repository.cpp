// LocalFuncRepository: a function of a kernel in a folder, such as one that is being written.
//
//     example_local_func_repository FOLDER     (of examples/kernels/transformer-ops, built: what holds
//     `build`)
#include <torch/torch.h>

#include <iostream>

#include "expect.hpp"
#include "kernels/torch/native.hpp"

using kernels::layer::LocalFuncRepository;
using kernels::layer::Mode;
using torch::Tensor;

namespace {

Tensor silu_and_mul(const Tensor& x) {
    const auto halves = x.chunk(2, -1);
    return torch::silu(halves[0]) * halves[1];
}

struct ModelImpl : torch::nn::Module {
    kernels::native::KernelFunction<Tensor(const Tensor&)> activation = register_module(
        "activation", kernels::native::use_kernel_func_from_hub("silu_and_mul", silu_and_mul));
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::cerr << "error: it takes the folder of a kernel\n";
        return 2;
    }
    const LocalFuncRepository repository(argv[1], "silu_and_mul");
    std::cout << repository.describe() << '\n';
    expect(kernels::layer::trust_of(repository).everyone, "what lies in a folder of one's own is trusted");
    try {
        const torch::NoGradGuard no_gradients;
        ModelImpl model;
        const auto x = torch::rand({4, 32});
        const auto expected = model.activation(x);
        const auto scope = kernels::layer::use_kernel_mapping({{"silu_and_mul", "cpu", repository}});
        const auto report = kernels::native::kernelize(
            model, {.mode = Mode::inference, .device = torch::kCPU, .use_fallback = false});
        std::cout << "found in " << report.layers.front().repo << '\n';
        expect(model.activation->kernelized() && model.activation(x).allclose(expected, 1e-5, 1e-6),
               "the function of the folder is called, and computes the same");
    } catch (const kernels::Error& error) {
        std::cerr << "error: " << error.what() << '\n';
        if (!error.hint().empty()) std::cerr << "hint: " << error.hint() << '\n';
        return 1;
    }
}
