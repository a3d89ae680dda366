#include "reference_layers.hpp"

#include <set>

#include "found_layers.hpp"
#include "kernels/core/error.hpp"
#include "kernels/torch/model.hpp"
#include "layer_kind.hpp"

namespace kernels::torchscript {
namespace {

using torch::jit::Module;

std::string kind_of(const Module& layer) {
    return code_of(layer) +
           numbers_of(layer, [](const at::Tensor& tensor) { return c10::str(tensor.dim(), ";"); });
}

}  // namespace

std::vector<Module> reference_layers(const project::Binding& binding) {
    auto file = load_model(*binding.pattern, ModelUse::inspect);
    file.module.eval();
    std::vector<Module> layers;
    std::set<std::string> kinds;
    for (const auto& named : file.module.named_modules()) {
        if (!binding.names(class_of(named.value), named.name)) continue;
        if (!named.value.find_method("forward") || !kinds.insert(kind_of(named.value)).second) continue;
        layers.push_back(named.value);
    }
    if (layers.empty()) {
        throw Error(ErrorCode::not_found,
                    binding.pattern->string() + ": no layer in it matches the binding of " + binding.layer,
                    "see its classes with `kernels inspect`");
    }
    return layers;
}

}  // namespace kernels::torchscript
