// What a deployed process does: load the kernels that a kernelized model names, then the model.
#include <torch/script.h>

#include <iostream>

#include "kernels/runtime/runtime.hpp"

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    try {
        kernels::runtime::load(argv[1]);
        auto kernelized = torch::jit::load(argv[1]);
        auto original = torch::jit::load(argv[2]);
        const c10::InferenceMode inference;
        torch::manual_seed(1);
        const auto input = torch::randint(0, 100, {1, 16}, torch::kLong);
        const auto difference =
            (kernelized.forward({input}).toTensor() - original.forward({input}).toTensor())
                .abs()
                .max()
                .item<double>();
        std::cout << "largest difference " << difference << "\n";
        return difference < 1e-4 ? 0 : 1;
    } catch (const std::exception& error) {
        std::cerr << error.what() << "\n";
        return 1;
    }
}
