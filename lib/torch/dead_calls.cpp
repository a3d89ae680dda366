#include "dead_calls.hpp"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/inliner.h>

#include "graph_calls.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

// Whether the function, given the constants of this call, does nothing but give its result.
bool only_computes(const Node* call) {
    const Function* callee = function_called(call);
    if (callee == nullptr || !callee->isGraphFunction()) return false;
    auto graph = toGraphFunction(*callee).graph()->copy();
    const std::size_t self = call->kind() == prim::CallFunction ? 1 : 0;
    for (std::size_t i = 0; i < graph->inputs().size(); ++i) {
        const auto known = toIValue(call->input(i + self));
        if (!known || !(known->isScalar() || known->isBool() || known->isNone() || known->isString()))
            continue;
        const WithInsertPoint in_front(*graph->nodes().begin());
        graph->inputs()[i]->replaceAllUsesWith(graph->insertConstant(*known));
    }
    Inline(*graph);
    ConstantPropagation(graph);
    while (!graph->outputs().empty())
        graph->eraseOutput(0);
    EliminateDeadCode(graph);
    return graph->nodes().begin() == graph->nodes().end();
}

bool remove_dead_calls(Block* block) {
    bool removed = false;
    auto nodes = block->nodes().reverse();
    for (auto at = nodes.begin(); at != nodes.end(); ++at) {
        for (Block* inner : at->blocks())
            removed = remove_dead_calls(inner) || removed;
        const bool call = at->kind() == prim::CallFunction || at->kind() == prim::CallMethod;
        if (!call || at->hasUses() || !only_computes(*at)) continue;
        at.destroyCurrent();
        removed = true;
    }
    return removed;
}

}  // namespace

void remove_dead_code(Graph& graph) {
    do {
        EliminateDeadCode(graph.block());
    } while (remove_dead_calls(graph.block()));
}

}  // namespace kernels::torchscript
