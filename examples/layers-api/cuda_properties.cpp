// CUDAProperties: the compute capabilities that a mapping entry is for.
#include "expect.hpp"
#include "kernels/layer/selection.hpp"

using namespace kernels;
using layer::CUDAProperties;

int main() {
    const layer::KernelMapping mapping{
        {"RMSNorm", "cuda", layer::LayerRepository("org/norm", "AnyNorm", KernelVersion{1})},
        {"RMSNorm",
         {"cuda", CUDAProperties(75, 90)},
         layer::LayerRepository("org/norm", "Norm", KernelVersion{1})},
        {"RMSNorm",
         {"cuda", CUDAProperties(90, 90)},
         layer::LayerRepository("org/norm", "Hopper", KernelVersion{1})},
    };
    const auto chosen = [&](int capability) {
        const auto selection = layer::select(mapping, "RMSNorm", "cuda", capability, layer::Mode::inference);
        return layer::member_name(selection.chosen->repository);
    };
    expect(chosen(70) == "AnyNorm", "an entry without properties is for every device");
    expect(chosen(86) == "Norm", "both ends belong to the interval");
    expect(chosen(90) == "Hopper", "the smallest interval wins");
    expect_error([] { CUDAProperties(90, 75); }, "the least is not greater than the most");
    expect_error([] { CUDAProperties(-1, 75); }, "capabilities are not negative");
    expect_error([] { layer::Device("rocm", CUDAProperties(75, 90)); },
                 "CUDA properties are for cuda devices");
}
