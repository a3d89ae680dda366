#include "rewrite.hpp"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/inliner.h>

#include <algorithm>
#include <set>
#include <vector>

#include "kernels/core/error.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

constexpr const char* hub_method = "kernels_hub_forward";

void collect_constants_before_root(Block* block, std::set<double>& found) {
    for (Node* node : block->nodes()) {
        for (Block* inner : node->blocks())
            collect_constants_before_root(inner, found);
        if (node->kind() != aten::rsqrt && node->kind() != aten::sqrt) continue;
        Node* add = node->input(0)->node();
        if (add->kind() != aten::add || add->inputs().size() < 2) continue;
        const auto value = toIValue(add->input(1));
        if (value && value->isDouble()) found.insert(value->toDouble());
        if (value && value->isTensor() && value->toTensor().numel() == 1) {
            found.insert(value->toTensor().item<double>());
        }
    }
}

// Tracing turns the epsilon of a norm into a constant: the number that is added before the root is taken.
// Anything but exactly one candidate is no answer.
std::optional<double> recover_epsilon(Graph& graph) {
    std::set<double> found;
    collect_constants_before_root(graph.block(), found);
    return found.size() == 1 ? std::optional(*found.begin()) : std::nullopt;
}

[[noreturn]] void refuse(const std::string& why) {
    throw Error(ErrorCode::kernelize, why);
}

// What stands in for attributes that the class lacks, from the binding or the graph. The compiler names the
// others where the layer uses them.
std::map<std::string, project::AttributeValue> missing_attributes(
    const Module& layer, const LayerSource& hub_layer,
    const std::map<std::string, project::AttributeValue>& given) {
    std::map<std::string, project::AttributeValue> constants;
    for (const auto& name : hub_layer.attributes) {
        if (const auto known = given.find(name); known != given.end()) {
            constants.emplace(*known);
            continue;
        }
        if (layer.hasattr(name) || layer.find_method(name)) continue;
        const bool is_epsilon = name.find("eps") != std::string::npos;
        const auto recovered =
            is_epsilon ? recover_epsilon(*toGraphFunction(layer.get_method("forward").function()).graph())
                       : std::nullopt;
        if (recovered) constants.emplace(name, *recovered);
    }
    return constants;
}

std::string count(std::size_t number, const char* noun) {
    return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
}

// All values that `value` is computed from.
std::set<const Value*> ancestors(const Value* value) {
    std::set<const Value*> found;
    std::vector<const Value*> waiting{value};
    while (!waiting.empty()) {
        const Node* node = waiting.back()->node();
        waiting.pop_back();
        for (const Value* input : node->inputs()) {
            if (found.insert(input).second) waiting.push_back(input);
        }
    }
    return found;
}

// Tracing lifts values that the caller shares out of a layer, in the order of their use there, so that its
// own result is anywhere in the tuple. It is the one that all others are steps towards.
std::size_t own_result(const Node* tuple) {
    for (std::size_t i = 0; i < tuple->inputs().size(); ++i) {
        const auto steps = ancestors(tuple->input(i));
        const bool last = std::all_of(
            tuple->inputs().begin(), tuple->inputs().end(),
            [&](const Value* other) { return other == tuple->input(i) || steps.contains(other); });
        if (last) return i;
    }
    refuse("it returns " + count(tuple->inputs().size(), "value") +
           ", and which is the layer's own result cannot be told");
}

// Puts the hub method's graph before the return of the forward, its result in the place of the layer's own:
// the output itself, or one element of the tuple where tracing lifted further values out.
void splice(Graph& graph, Graph& hub) {
    Value* output = graph.outputs().at(0);
    const TypePtr& offered = hub.outputs().at(0)->type();
    Node* tuple = nullptr;
    if (offered->kind() != TypeKind::TupleType && output->node()->kind() == prim::TupleConstruct)
        tuple = output->node();
    const std::size_t place = tuple != nullptr ? own_result(tuple) : 0;
    Value* own = tuple != nullptr ? tuple->input(place) : output;
    if (!offered->isSubtypeOf(*own->type()) &&
        !(offered->kind() == TypeKind::TensorType && own->type()->kind() == TypeKind::TensorType)) {
        refuse("the kernel's layer returns " + offered->str() + ", this one " + own->type()->str());
    }
    {
        // Before the tuple where there is one, so that it can take the new value.
        WithInsertPoint guard(tuple != nullptr ? tuple : graph.return_node());
        Value* result = insertGraph(graph, hub, graph.inputs()).at(0);
        if (tuple != nullptr) {
            tuple->replaceInput(place, result);
        } else {
            graph.return_node()->replaceInput(0, result);
        }
    }
    EliminateDeadCode(graph.block());
}

}  // namespace

void replace_forward(const Module& model, const Module& layer, const LayerSource& hub_layer,
                     const KernelLayer& kernel,
                     const std::map<std::string, project::AttributeValue>& attributes) {
    const ClassTypePtr type = layer.type();
    CompileOptions options{kernel.op_namespace, missing_attributes(layer, hub_layer, attributes),
                           std::vector<TypePtr>{}};
    for (const auto& argument : type->getMethod("forward").getSchema().arguments()) {
        if (argument.name() != "self") options.arguments->push_back(argument.type());
    }
    compile_method(model, type, hub_method, hub_layer.forward, options);
    const Function& compiled = type->getMethod(hub_method);
    const Function& original = type->getMethod("forward");
    try {
        const std::size_t wanted = original.getSchema().arguments().size();
        const std::size_t offered = compiled.getSchema().arguments().size();
        if (wanted != offered) {
            refuse("the kernel's layer takes " + count(offered - 1, "argument") + ", this one " +
                   std::to_string(wanted - 1));
        }
        auto& graph = *toGraphFunction(type->getMethod("forward")).graph();
        auto& hub = *toGraphFunction(type->getMethod(hub_method)).graph();
        for (std::size_t i = 1; i < wanted; ++i) {
            const auto& type_there = original.getSchema().arguments()[i].type();
            const auto& type_here = compiled.getSchema().arguments()[i].type();
            const auto& there = original.getSchema().arguments()[i];
            const auto& here = compiled.getSchema().arguments()[i];
            if (there.kwarg_only() != here.kwarg_only()) {
                refuse("the kernel's layer takes " + here.name() + " by " +
                       (here.kwarg_only() ? "keyword only" : "position"));
            }
            if (!type_there->isSubtypeOf(*type_here)) {
                refuse("the kernel's layer takes a " + type_here->str() + " as argument " +
                       std::to_string(i) + ", this one a " + type_there->str());
            }
        }
        // Kept in the body of forward itself: names, defaults and annotations of its arguments stay what
        // callers know.
        splice(graph, hub);
    } catch (...) {
        remove_method(model, type, hub_method);
        throw;
    }
    remove_method(model, type, hub_method);
}

}  // namespace kernels::torchscript
