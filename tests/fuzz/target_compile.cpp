// TorchScript's compiler on kernel sources: they compile, or are refused by an Error.
#include <torch/script.h>

#include "kernels/core/error.hpp"
#include "package_input.hpp"
#include "torch/frontend.hpp"

using namespace kernels;
using namespace kernels::torchscript;

namespace {

torch::jit::Module layer_to_replace() {
    torch::jit::Module layer("Layer");
    layer.register_parameter("weight", torch::ones({4}), false);
    layer.register_attribute("eps", c10::FloatType::get(), 0.5);
    torch::jit::Module child("Child");
    child.define("def forward(self, x):\n    return x\n");
    layer.register_module("child", child);
    return layer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        const auto module =
            HubModule::read(fuzz::package_of({reinterpret_cast<const char*>(data), size}), false);
        if (!module) return 0;
        for (const auto& name : module->layers()) {
            try {
                const auto source = module->layer(name);
                if (source.forward.definition == nullptr) continue;
                auto layer = layer_to_replace();
                compile_method(layer, layer.type(), "hub_forward", source.forward,
                               {"aten", {}, {}, std::nullopt});
                ++fuzz::accepted;
            } catch (const Error&) {
            }
        }
    } catch (const Error&) {
    }
    return 0;
}
