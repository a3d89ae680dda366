#include "in_double.hpp"

#include <torch/csrc/jit/api/function_impl.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "graph_calls.hpp"
#include "input_cases.hpp"
#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

struct NamedDtype {
    std::size_t place;  // among the node's inputs
    at::ScalarType dtype;
};

// Every constant that is a dtype for one of torch's operators.
std::vector<NamedDtype> dtypes_of(const Node& node) {
    const auto* schema = node.kind().is_aten() ? node.maybeSchema() : nullptr;
    if (schema == nullptr) return {};
    std::vector<NamedDtype> found;
    for (std::size_t i = 0; i < node.inputs().size() && i < schema->arguments().size(); ++i) {
        if (!is_dtype(schema->arguments()[i])) continue;
        const auto value = toIValue(node.input(i));
        if (value && value->isInt()) found.push_back({i, static_cast<at::ScalarType>(value->toInt())});
    }
    return found;
}

bool uses_autocast(const Module& module) {
    bool found = false;
    for (Graph* graph : graphs_of(module)) {
        for_each_node(graph->block(), [&](const Node* node) {
            if (node->kind() != prim::CreateObject) return;
            const auto& name = node->output()->type()->expectRef<ClassType>().name();
            found = found || (name && name->name().find("autocast") != std::string::npos);
        });
    }
    return found;
}

}  // namespace

bool is_dtype(const c10::Argument& argument) {
    return argument.name() == "dtype";
}

bool converts_to(const Module& module, at::ScalarType dtype) {
    bool found = false;
    for (Graph* graph : graphs_of(module)) {
        for_each_node(graph->block(), [&](const Node* node) {
            if (node->kind() != aten::to) return;
            for (const auto& one : dtypes_of(*node))
                found = found || one.dtype == dtype;
        });
    }
    return found;
}

bool asks_for_dtypes(const Module& module, const std::string& method) {
    std::set<const Function*> functions;
    if (!collect_called(module.get_method(method).function(), functions)) {
        for (const Module& part : module.modules())
            for (const auto& one : part.get_methods())
                collect_called(one.function(), functions);
    }
    bool asks = false;
    for (const Function* function : functions) {
        if (!function->isGraphFunction()) continue;
        for_each_node(toGraphFunction(*function).graph()->block(), [&](const Node* node) {
            asks = asks || node->kind() == prim::dtype || node->kind() == prim::fork;
        });
    }
    return asks;
}

at::ScalarType dtype_of(const Module& module, const std::vector<IValue>& arguments) {
    if (const auto own = floating_dtype(arguments)) return *own;
    const auto weights = weights_of(module);
    return floating_dtype({weights.begin(), weights.end()}).value_or(at::kFloat);
}

at::ScalarType narrowest_dtype(const Module& module, const std::vector<IValue>& arguments,
                               const IValue& result) {
    auto tensors = tensors_in(arguments);
    const auto results = tensors_in({result});
    tensors.insert(tensors.end(), results.begin(), results.end());
    const auto weights = weights_of(module);
    tensors.insert(tensors.end(), weights.begin(), weights.end());
    const auto is_used = [&](at::ScalarType dtype) {
        return converts_to(module, dtype) ||
               std::any_of(tensors.begin(), tensors.end(),
                           [&](const at::Tensor& tensor) { return tensor.scalar_type() == dtype; });
    };
    if (is_used(at::kBFloat16) || uses_autocast(module)) return at::kBFloat16;
    for (const auto dtype : {at::kHalf, at::kFloat})
        if (is_used(dtype)) return dtype;
    return at::kDouble;
}

at::Tensor copy_in_double(const at::Tensor& tensor) {
    return tensor.is_floating_point() ? tensor.detach().to(at::kDouble, false, true) : tensor.clone();
}

Module in_double(const Module& module) {
    Module copy = module.deepcopy();
    convert(copy, at::kDouble);
    return copy;
}

}  // namespace kernels::torchscript
