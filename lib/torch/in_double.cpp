#include "in_double.hpp"

#include <vector>

#include "graph_calls.hpp"
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

at::Tensor copy_in_double(const at::Tensor& tensor) {
    return tensor.is_floating_point() ? tensor.detach().to(at::kDouble, false, true) : tensor.clone();
}

Module in_double(const Module& module) {
    Module copy = module.deepcopy();
    convert(copy, at::kDouble);
    return copy;
}

}  // namespace kernels::torchscript
