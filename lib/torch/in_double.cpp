#include "in_double.hpp"

#include <algorithm>

#include "graph_calls.hpp"
#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

constexpr bool is_narrower_than_double(int64_t dtype) {
    return dtype == static_cast<int64_t>(at::kHalf) || dtype == static_cast<int64_t>(at::kBFloat16) ||
           dtype == static_cast<int64_t>(at::kFloat);
}

struct NamedDtype {
    std::size_t place;  // among the node's inputs
    int64_t dtype;
};

// Every constant that is a `dtype` argument of one of torch's operators.
std::vector<NamedDtype> dtypes_of(const Node& node) {
    const auto* schema = node.kind().is_aten() ? node.maybeSchema() : nullptr;
    if (schema == nullptr) return {};
    std::vector<NamedDtype> found;
    for (std::size_t i = 0; i < node.inputs().size() && i < schema->arguments().size(); ++i) {
        if (schema->arguments()[i].name() != "dtype") continue;
        const auto value = toIValue(node.input(i));
        if (value && value->isInt()) found.push_back({i, value->toInt()});
    }
    return found;
}

}  // namespace

bool converts_to(const Module& module, at::ScalarType dtype) {
    bool found = false;
    for (Graph* graph : graphs_of(module)) {
        for_each_node(graph->block(), [&](const Node* node) {
            if (node->kind() != aten::to) return;
            const auto named = dtypes_of(*node);
            found = found || std::any_of(named.begin(), named.end(), [&](const auto& one) {
                        return one.dtype == static_cast<int64_t>(dtype);
                    });
        });
    }
    return found;
}

std::vector<std::size_t> narrow_dtypes_of(const Node& node) {
    std::vector<std::size_t> places;
    for (const auto& one : dtypes_of(node))
        if (is_narrower_than_double(one.dtype)) places.push_back(one.place);
    return places;
}

void compute_in_double(Graph& graph) {
    for_each_node(graph.block(), [&](Node* node) {
        for (const auto place : narrow_dtypes_of(*node)) {
            const WithInsertPoint before(node);
            node->replaceInput(place, graph.insertConstant(static_cast<int64_t>(at::kDouble)));
        }
    });
}

bool calls_apart(const Module& module) {
    bool found = false;
    for (Graph* graph : graphs_of(module)) {
        for_each_node(graph->block(), [&](const Node* node) {
            found = found || node->kind() == prim::fork ||
                    (node->kind() == prim::CallMethod &&
                     node->input(0)->type()->kind() == TypeKind::InterfaceType);
        });
    }
    return found;
}

namespace {

// With code of its own that names float64, and the module's own tensors.
Module rewritten(const Module& module) {
    const Module copy = module.clone(true);
    for (Graph* graph : graphs_of(copy))
        compute_in_double(*graph);
    return copy;
}

// Copies of all that `from` holds, to a module whose class has the same attributes.
void give_attributes(const Module& from, Module& to) {
    const auto type = from.type();
    for (std::size_t i = 0; i < type->numAttributes(); ++i) {
        const std::string& name = type->getAttributeName(i);
        const IValue value = from.attr(name);
        if (value.isModule()) {
            Module inner = to.attr(name).toModule();
            give_attributes(value.toModule(), inner);
        } else {
            to.setattr(name, value.deepcopy());
        }
    }
}

}  // namespace

Module in_double(const Module& module) {
    Module copy;
    if (calls_apart(module)) {
        copy = rewritten(module).deepcopy();
        give_attributes(module, copy);
    } else {
        copy = module.deepcopy();  // which shares the code
    }
    convert(copy, at::kDouble);
    return copy;
}

}  // namespace kernels::torchscript
