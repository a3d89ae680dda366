#include "graph_calls.hpp"

#include <torch/csrc/jit/api/function_impl.h>

#include <set>

#include "kernels/core/error.hpp"

namespace kernels::torchscript {

using namespace torch::jit;

std::string place(const SourceRange& where) {
    if (const auto known = where.file_line_col())
        return std::get<0>(*known) + ":" + std::to_string(std::get<1>(*known));
    return unknown_place;
}

void refuse(const std::string& why) {
    throw Error(ErrorCode::kernelize, why);
}

void refuse(const SourceRange& where, const std::string& why) {
    refuse(place(where) + ": " + why);
}

void for_each_node(torch::jit::Block* block, const std::function<void(Node*)>& visit) {
    for (Node* node : block->nodes()) {
        for (torch::jit::Block* inner : node->blocks())
            for_each_node(inner, visit);
        visit(node);
    }
}

std::vector<Graph*> graphs_of(const Module& module) {
    std::vector<Graph*> graphs;
    std::set<const Function*> seen;
    for (const auto& part : module.modules()) {
        for (const auto& method : part.get_methods()) {
            auto& function = method.function();
            if (function.isGraphFunction() && seen.insert(&function).second)
                graphs.push_back(toGraphFunction(function).graph().get());
        }
    }
    return graphs;
}

const Function* function_called(const Node* node) {
    if (node->kind() == prim::CallFunction) {
        const auto type = node->input(0)->type()->cast<FunctionType>();
        return type ? type->function() : nullptr;
    }
    if (node->kind() != prim::CallMethod) return nullptr;
    const auto type = node->input(0)->type()->cast<ClassType>();
    return type ? type->findMethod(node->s(attr::name)) : nullptr;
}

namespace {

bool collect_called_in(const Block* block, std::set<const Function*>& called) {
    bool all_known = true;
    for (const Node* node : block->nodes()) {
        for (const Block* inner : node->blocks())
            all_known = collect_called_in(inner, called) && all_known;
        if (node->hasAttribute(attr::Subgraph))  // of torch.jit.fork
            all_known = collect_called_in(node->g(attr::Subgraph)->block(), called) && all_known;
        if (node->kind() != prim::CallFunction && node->kind() != prim::CallMethod) continue;
        const auto* function = function_called(node);
        all_known = function != nullptr && collect_called(*function, called) && all_known;
    }
    return all_known;
}

}  // namespace

bool collect_called(const Function& function, std::set<const Function*>& called) {
    if (!called.insert(&function).second || !function.isGraphFunction()) return true;
    return collect_called_in(toGraphFunction(function).graph()->block(), called);
}

Value* call_compiled(Graph& graph, Function& compiled, const std::vector<Value*>& values) {
    const auto& schema = compiled.getSchema();
    return graph.insertFunctionCall(
        &compiled, MatchedSchema{values, {schema.returns().at(0).type()}, {}, schema.name()});
}

namespace {

// Users know the place of the call, and not the library's own source.
void set_place_of_call(Node* node, const SourceRange& call) {
    const auto known = node->sourceRange().file_line_col();
    if (!known || std::get<0>(*known) == "<string>") node->setSourceRange(call);
    for (torch::jit::Block* block : node->blocks()) {
        for (Node* inner : block->nodes())
            set_place_of_call(inner, call);
    }
}

}  // namespace

void inline_functions(Graph& graph) {
    constexpr std::size_t largest_graph = 50000;
    std::size_t size = 0;
    std::vector<Block*> waiting{graph.block()};
    std::vector<Node*> calls;
    while (!waiting.empty()) {
        Block* block = waiting.back();
        waiting.pop_back();
        for (Node* node : block->nodes()) {
            ++size;
            for (Block* inner : node->blocks())
                waiting.push_back(inner);
            if (node->kind() == prim::CallFunction) calls.push_back(node);
        }
    }
    for (Node* call : calls) {
        Node* callee = call->input(0)->node();
        auto* function =
            tryToGraphFunction(*callee->output()->type()->expect<c10::FunctionType>()->function());
        if (function == nullptr) continue;
        for (const Node* node : function->graph()->nodes())
            size += node->blocks().empty() ? 1 : 10;
        if (size > largest_graph)
            throw Error(ErrorCode::kernelize, place(call->sourceRange()) + ": the layer becomes too large");
        call->removeInput(0);
        // As inlineCallTo, but for the call stack that it notes: the functions are gone when the layer runs,
        // and libtorch asks them for their names when the layer throws.
        const WithInsertPoint here(call);
        Node* before = call->prev();
        const auto results = insertGraph(graph, *function->graph(), call->inputs());
        for (Node* node = before->next(); node != call; node = node->next())
            set_place_of_call(node, call->sourceRange());
        for (std::size_t i = 0; i < results.size(); ++i)
            call->output(i)->replaceAllUsesWith(results[i]);
        call->destroy();
        if (callee->output()->uses().empty()) callee->destroy();
    }
}

}  // namespace kernels::torchscript
