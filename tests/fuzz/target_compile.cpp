// TorchScript's compiler on kernel sources: they compile, or are refused by an Error.
#include <torch/library.h>
#include <torch/script.h>

#include "kernels/core/error.hpp"
#include "package_input.hpp"
#include "torch/frontend.hpp"

using namespace kernels;
using namespace kernels::torchscript;

namespace {

// The ops that the sources of the corpus call; nothing calls what is behind them.
constexpr const char* op_namespace = "fuzz_ops";
TORCH_LIBRARY(fuzz_ops, ops) {
    for (const char* schema :
         {"relu(Tensor(a!) out, Tensor input) -> ()", "silu_and_mul(Tensor(a!) out, Tensor input) -> ()",
          "rms_norm(Tensor(a!) out, Tensor input, Tensor weight, float epsilon) -> ()",
          "layer_norm(Tensor(a!) out, Tensor input, Tensor weight, Tensor? bias, float epsilon) -> ()",
          "both(Tensor x) -> (Tensor, Tensor)", "all(Tensor x, int[] sizes) -> Tensor[]",
          "scale(Tensor x, *, float factor=2.0, Tensor? bias=None) -> Tensor"})
        ops.def(schema);
}

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
                               {op_namespace, {}, {}, std::nullopt});
                ++fuzz::accepted;
            } catch (const Error&) {
            }
        }
    } catch (const Error&) {
    }
    return 0;
}
