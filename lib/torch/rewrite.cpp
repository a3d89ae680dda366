#include "rewrite.hpp"

#include <torch/csrc/jit/api/function_impl.h>

#include <algorithm>
#include <regex>
#include <set>
#include <vector>

#include "class_uses.hpp"
#include "graph_calls.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "layer_kind.hpp"
#include "original_source.hpp"
#include "pattern_matcher.hpp"
#include "recover.hpp"
#include "same_computation.hpp"
#include "splice.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

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
    refuse("it returns " + counted(tuple->inputs().size(), "value") +
           ", and which is the layer's own result cannot be told");
}

// A name that the class has for nothing.
std::string unused_name(const c10::ClassType& type) {
    std::string name = "kernels_hub_forward";
    while (type.findMethod(name) != nullptr || type.hasAttribute(name) || type.hasConstant(name))
        name += '_';
    return name;
}

}  // namespace

std::vector<Function*> forwards(const ClassTypePtr& type) {
    std::vector<Function*> methods{&type->getMethod("forward")};
    static const std::regex repetition(R"(forward\d+)");
    for (Function* method : type->methods())
        if (std::regex_match(method->name(), repetition)) methods.push_back(method);
    return methods;
}

Place find_place(Graph& graph, const TypePtr& offered) {
    Place place;
    place.result = graph.outputs().at(0);
    if (offered->kind() != TypeKind::TupleType && place.result->node()->kind() == prim::TupleConstruct) {
        place.tuple = place.result->node();
        place.index = own_result(place.tuple);
        place.result = place.tuple->input(place.index);
    }
    const TypePtr& wanted = place.result->type();
    if (!offered->isSubtypeOf(*wanted) &&
        !(offered->kind() == TypeKind::TensorType && wanted->kind() == TypeKind::TensorType)) {
        refuse("the kernel's layer returns " + offered->str() + ", this one " + wanted->str());
    }
    return place;
}

namespace {

// What the layer returns of the kernel's results.
TypePtr returned_type(const TypePtr& offered, const Given& given) {
    const auto tuple = offered->cast<TupleType>();
    const std::size_t count = tuple ? tuple->elements().size() : 1;
    std::vector<TypePtr> types;
    for (const auto number : given.results) {
        if (number >= static_cast<std::int64_t>(count))
            refuse("the binding names result " + std::to_string(number) + ", and the kernel's layer gives " +
                   std::to_string(count) + ", from 0");
        if (tuple) types.push_back(tuple->elements().at(static_cast<std::size_t>(number)));
    }
    if (types.empty()) return offered;
    return types.size() == 1 ? types.front() : TupleType::create(std::move(types));
}

// Tracing gives what a layer returns in the order in which its caller uses it.
std::vector<std::size_t> order_of_results(const Graph& graph, const TypePtr& offered, const Given& given) {
    const auto tuple = offered->cast<TupleType>();
    const std::size_t count = tuple ? tuple->elements().size() : 1;
    if (given.results.empty()) {
        if (count > 1 && !given.is_verified && may_be_traced(graph))
            refuse("tracing does not keep the order of its " + std::to_string(count) +
                   " results; give the numbers of the kernel's, from 0, in the order of the traced code, as "
                   "results = [ … ] in the binding");
        return {};
    }
    if (!tuple) return {};
    return {given.results.begin(), given.results.end()};
}

}  // namespace

std::vector<Value*> results_of(Graph& graph, const TypePtr& offered) {
    Value* result = find_place(graph, offered).result;
    if (result->node()->kind() != prim::TupleConstruct) return {result};
    const auto elements = result->node()->inputs();
    return {elements.begin(), elements.end()};
}

HubMethod::HubMethod(const Module& layer, const LayerSource& hub_layer, const KernelLayer& kernel,
                     const Given& given, const OwnArguments& own)
    : m_layer(layer), m_type(layer.type()), m_name(unused_name(*m_type)) {
    const Function& original = m_type->getMethod("forward");
    require_same_parameters(original, hub_layer.forward, given);
    auto missing = missing_attributes(layer, hub_layer.attributes, given.attributes);
    CompileOptions options{kernel.op_namespace, std::move(missing.constants), std::move(missing.renamed),
                           argument_types(original, hub_layer.forward, given, own)};
    options.none = std::move(missing.none);
    compile_method(layer, m_type, m_name, hub_layer.forward, options);
    for_each_node(graph().block(), [&](const Node* node) {
        if (node->kind() == prim::CallMethod && function_called(node) == &original)
            refuse(node->sourceRange(), "it calls its own forward, without an end");
    });
}

HubMethod::~HubMethod() {
    remove_method(m_layer, m_type, m_name);
}

const Function& HubMethod::function() const {
    return m_type->getMethod(m_name);
}

Graph& HubMethod::graph() const {
    return *toGraphFunction(m_type->getMethod(m_name)).graph();
}

namespace {

// Which of the model's methods come to a method of a layer: "encode and decode".
std::string called_by(const std::vector<std::string>& callers) {
    if (callers.empty()) return "none of the model's methods";
    return "the model's " + join(callers, " and ");
}

// Kernels read attributes at each call; a traced method has the values written in that they had.
void require_kept_values(const std::vector<Function*>& methods, const Module& layer, const ClassUses& uses) {
    const bool traced = std::any_of(methods.begin(), methods.end(), [](Function* method) {
        return may_be_traced(*toGraphFunction(*method).graph());
    });
    if (!traced && methods.size() == 1) return;
    if (const auto written = uses.written_in(layer))
        refuse(*written + ", and its code, which may be traced, may have another value written in");
}

// What the layer is given for its own weights, the kernel computes with: Python may part the two later, as
// .half() does with buffers.
void take_own(Graph& hub, const OwnArguments& own, Arguments& arguments) {
    for (const auto& [place, path] : own) {
        Value* given = hub.addInput();
        for_each_node(hub.block(), [&, &attribute = path](Node* node) {
            if (node->kind() == prim::GetAttr && node->output()->type()->kind() == TypeKind::TensorType &&
                attribute_name(node->output(), hub.inputs().at(0)) == attribute)
                node->output()->replaceAllUsesWith(given);
        });
        arguments.emplace_back(place);
    }
}

bool reads_training(const Graph& graph) {
    bool reads = false;
    for_each_node(const_cast<Graph&>(graph).block(), [&](const Node* node) {
        reads = reads || (node->kind() == prim::GetAttr && node->s(attr::name) == "training");
    });
    return reads;
}

// All of the methods get the same code.
void require_same_computation(const std::vector<Function*>& methods, const TypePtr& offered,
                              const Module& one, ClassUses& uses) {
    std::set<std::string> seen;
    auto layers = uses.instances(one.type());
    if (layers.empty()) layers.push_back(one);
    for (const auto& layer : layers) {
        if (!seen.insert(numbers_of(layer, [](const at::Tensor&) { return std::string(); })).second) continue;
        for (const Function* method : methods) {
            const Function& first = *methods.front();
            if (method == &first || compute_the_same(layer, {first, uses.own_arguments(first)},
                                                     {*method, uses.own_arguments(*method)}, offered))
                continue;
            refuse("its " + first.name() + ", which " + called_by(uses.callers(first)) +
                   " calls, cannot be shown to compute the same as its " + method->name() + ", which " +
                   called_by(uses.callers(*method)) + " calls");
        }
    }
}

}  // namespace

ReplacedForward replace_forward(const Module& layer, const LayerSource& hub_layer, const KernelLayer& kernel,
                                const Given& given, ClassUses& uses) {
    const HubMethod hub(layer, hub_layer, kernel, given,
                        uses.own_arguments(layer.get_method("forward").function()));
    const auto methods = forwards(layer.type());
    const TypePtr all_results = hub.graph().outputs().at(0)->type();
    const TypePtr offered = returned_type(all_results, given);
    std::vector<std::pair<Place, Arguments>> places;
    for (Function* method : methods) {
        auto arguments = arguments_for(*method, hub.function(), given, uses.own_arguments(*method));
        Graph& graph = *toGraphFunction(*method).graph();
        places.emplace_back(find_place(graph, offered), std::move(arguments));
        places.back().first.order = order_of_results(graph, all_results, given);
        require_removable(graph, places.back().first);
    }
    require_kept_values(methods, layer, uses);
    if (methods.size() > 1) require_same_computation(methods, offered, layer, uses);
    ReplacedForward replaced;
    replaced.follows_training =
        reads_training(hub.graph()) && std::any_of(methods.begin(), methods.end(), [](Function* method) {
            const Graph& graph = *toGraphFunction(*method).graph();
            return may_be_traced(graph) && !reads_training(graph);
        });
    // Kept in the bodies of the methods themselves: names, defaults and annotations of their arguments stay
    // what callers know.
    for (std::size_t i = 0; i < methods.size(); ++i) {
        const auto body = hub.graph().copy();
        take_own(*body, uses.own_arguments(*methods[i]), places[i].second);
        splice(*toGraphFunction(*methods[i]).graph(), places[i].first, *body, places[i].second);
    }
    for_each_node(hub.graph().block(), [&](const Node* node) {
        replaced.calls_modules = replaced.calls_modules ||
                                 (node->kind() == prim::CallMethod && node->input(0)->type()->is_module());
    });
    return replaced;
}

}  // namespace kernels::torchscript
