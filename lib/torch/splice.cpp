#include "splice.hpp"

#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/inliner.h>

#include <set>
#include <vector>

#include "graph_calls.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

// The node, and those that it is computed from, also within its blocks.
void add_steps(Node* node, std::set<Node*>& steps) {
    if (!steps.insert(node).second) return;
    for (Value* input : node->inputs())
        add_steps(input->node(), steps);
    for (Block* block : node->blocks()) {
        for (Node* inner : block->nodes())
            add_steps(inner, steps);
        add_steps(block->return_node(), steps);
    }
}

}  // namespace

bool changes_in_place(Graph& graph) {
    auto inlined = graph.copy();
    Inline(*inlined);
    ConstantPropagation(inlined);  // functions have branches for `inplace`
    bool changes = false;
    for_each_node(inlined->block(), [&](const Node* node) {
        const auto* schema = node->maybeSchema();
        changes = changes || node->kind() == prim::SetAttr || (schema != nullptr && schema->is_mutable());
    });
    return changes;
}

void require_removable(Graph& graph, const Place& place) {
    if (place.tuple != nullptr && changes_in_place(graph))
        refuse("it changes tensors or attributes in place, and returns more than its result");
}

void splice(Graph& graph, const Place& place, Graph& hub, const Arguments& arguments) {
    const std::vector<Node*> original(graph.nodes().begin(), graph.nodes().end());
    {
        // Before the tuple where there is one, so that it can take the new value.
        WithInsertPoint guard(place.tuple != nullptr ? place.tuple : graph.return_node());
        std::vector<Value*> inputs;
        for (const auto& argument : arguments) {
            const auto* index = std::get_if<std::size_t>(&argument);
            inputs.push_back(index != nullptr ? graph.inputs().at(*index)
                                              : graph.insertConstant(std::get<IValue>(argument)));
        }
        Value* result = insertGraph(graph, hub, inputs).at(0);
        if (!place.order.empty()) {
            const auto given = graph.insertNode(graph.createTupleUnpack(result))->outputs();
            std::vector<Value*> ordered;
            for (const std::size_t number : place.order)
                ordered.push_back(given.at(number));
            result = ordered.size() == 1 ? ordered.front()
                                         : graph.insertNode(graph.createTuple(ordered))->output();
        }
        if (place.tuple != nullptr) {
            place.tuple->replaceInput(place.index, result);
        } else {
            graph.return_node()->replaceInput(0, result);
        }
    }
    std::set<Node*> kept;
    if (place.tuple != nullptr) {
        kept.insert(place.tuple);
        for (std::size_t i = 0; i < place.tuple->inputs().size(); ++i)
            if (i != place.index) add_steps(place.tuple->input(i)->node(), kept);
    }
    for (auto node = original.rbegin(); node != original.rend(); ++node)
        if (!kept.contains(*node)) (*node)->destroy();
}

}  // namespace kernels::torchscript
