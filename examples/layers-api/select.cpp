// select, and KernelizeFallback: what a layer gets, and when its own forward may stay.
#include "expect.hpp"
#include "kernels/layer/selection.hpp"

using namespace kernels;
using layer::KernelizeFallback;
using layer::Mode;

int main() {
    const layer::KernelMapping mapping{
        {"RMSNorm",
         "cuda",
         {{Mode::training, layer::LayerRepository("org/norm", "RMSNorm", KernelVersion{1})}}}};
    const auto found = layer::select(mapping, "RMSNorm", "cuda", 90, Mode::inference);
    expect(found && found.chosen->mode == Mode::training, "what can train can infer");
    const auto none = layer::select(mapping, "RMSNorm", "cuda", 90, Mode::training | Mode::torch_compile);
    expect(!none && none.reason == layer::NoKernel::no_mode, "the reason is known");
    layer::require_covered(none, true);
    expect(true, "use_fallback = true lets the original forward stay");
    expect_error([&] { layer::require_covered(none, false); }, "use_fallback = false makes it an error");
    expect_error(
        [&] { layer::require_covered(none, KernelizeFallback::no_layer | KernelizeFallback::no_device); },
        "and so do flags that do not cover it");
    expect(!KernelizeFallback(true).covers(layer::NoKernel::cannot_load),
           "a kernel that cannot be loaded is an error,");
    expect(KernelizeFallback::all.covers(layer::NoKernel::cannot_load), "unless all is allowed");
}
