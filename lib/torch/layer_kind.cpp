#include "layer_kind.hpp"

#include <torch/csrc/jit/api/function_impl.h>

#include <regex>

namespace kernels::torchscript {

std::string code_of(const torch::jit::Module& layer, const std::string& method) {
    static const std::regex mangling(R"(\.?___torch_mangle_\d+)");
    const auto graph = torch::jit::toGraphFunction(layer.get_method(method).function()).graph();
    return std::regex_replace(graph->toString(false), mangling, "");
}

std::string numbers_of(const torch::jit::Module& layer,
                       const std::function<std::string(const at::Tensor&)>& of_tensor) {
    std::string numbers;
    for (const auto& attribute : layer.named_attributes(true)) {
        const auto& value = attribute.value;
        if (value.isTensor()) {
            if (value.toTensor().defined()) numbers += attribute.name + of_tensor(value.toTensor());
        } else if (!value.isModule() && !value.isObject()) {
            numbers += c10::str(attribute.name, "=", value, ";");
        }
    }
    return numbers;
}

}  // namespace kernels::torchscript
