// ROCMProperties: the same for ROCm devices, where gfx942 is 94 and gfx1100 is 110.
#include "expect.hpp"
#include "kernels/layer/resolve.hpp"
#include "kernels/layer/selection.hpp"

using namespace kernels;
using layer::ROCMProperties;

int main() {
    const layer::KernelMapping mapping{{"RMSNorm",
                                        {"rocm", ROCMProperties(90, 95)},
                                        layer::LayerRepository("org/norm", "RMSNorm", KernelVersion{1})}};
    for (const char* arch : {"gfx942", "gfx90a", "gfx1100"}) {
        const auto target = build::Target::parse(std::string("torch=2.13,rocm=7.0,os=linux,arch=") + arch);
        const auto selection = layer::select(mapping, "RMSNorm", layer::device_type_of(target),
                                             layer::capability_of(target), layer::Mode::training);
        std::cout << arch << ": "
                  << (selection ? layer::describe(selection.chosen->repository) : selection.why) << '\n';
        expect(static_cast<bool>(selection) == (std::string(arch) != "gfx1100"),
               "CDNA 3 and 2 are in the interval");
    }
    expect_error([] { layer::Device("cuda", ROCMProperties(90, 95)); },
                 "ROCm properties are for rocm devices");
}
