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

Module in_double(const Module& module) {
    Module copy = module.deepcopy();
    convert(copy, at::kDouble);
    return copy;
}

}  // namespace kernels::torchscript
