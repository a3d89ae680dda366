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

namespace {

std::string mismatch(std::size_t offered, std::size_t wanted) {
    return "the kernel's layer takes " + counted(offered, "argument") + ", this one " +
           std::to_string(wanted);
}

std::string give_as_attribute(const std::string& name) {
    return "; give " + name + " as attributes = { " + name + " = … } in the binding";
}

// A hub layer has the parameters of the layer that it replaces, in number and kind: its defaults are nothing
// that the model has said. Values may come from the binding; and of traced code, which has lost what is no
// tensor, arguments_for tells whether they can be known.
void require_same_parameters(const Function& original, const FunctionSource& hub, const Given& given) {
    const auto& parameters = hub.definition->parameters;
    std::size_t open = 0;
    std::string by_default;
    if (const auto unfit = hub.unfit_parameter(); !unfit.empty()) refuse("the kernel's layer " + unfit);
    for (std::size_t i = hub.method ? 1 : 0; i < parameters.size(); ++i) {
        if (given.attributes.contains(parameters[i].name)) continue;
        ++open;
        if (parameters[i].value != nullptr && by_default.empty()) by_default = parameters[i].name;
    }
    const std::size_t offered = hub.argument_count();
    const std::size_t wanted = original.getSchema().arguments().size() - 1;
    if (offered == wanted || open == wanted || may_be_traced(*toGraphFunction(original).graph())) return;
    const bool may_be_given = offered > wanted && !by_default.empty();
    refuse(mismatch(offered, wanted) + (may_be_given ? give_as_attribute(by_default) : std::string()));
}

// The types of the layer's arguments, for parameters without annotation; a function's default stands where
// the layer gives less. Nothing where the layer's arguments are not the kernel's first ones: the binding
// gives another order or further values, or tracing may have taken some away, whose values must be known.
std::optional<std::vector<TypePtr>> argument_types(const Function& original, const FunctionSource& hub,
                                                   const Given& given) {
    std::vector<TypePtr> types;
    for (const auto& argument : original.getSchema().arguments())
        types.push_back(argument.type());
    types.erase(types.begin());  // self
    const auto& parameters = hub.definition->parameters;
    const auto stars = std::count_if(parameters.begin(), parameters.end(),
                                     [](const auto& parameter) { return parameter.stars != 0; });
    const auto offered = parameters.size() - static_cast<std::size_t>(stars) - (hub.method ? 1 : 0);
    const bool all =
        types.size() >= offered || (!hub.method && !may_be_traced(*toGraphFunction(original).graph()));
    return given.arguments.empty() && all ? std::optional(std::move(types)) : std::nullopt;
}

// Calls by keyword are positions in TorchScript: a kernel that has the layer's names in another order would
// silently get the one for the other.
void require_same_order(const std::vector<std::string>& own, const std::vector<std::string>& offered) {
    for (std::size_t i = 0; i < std::min(own.size(), offered.size()); ++i) {
        const auto there = std::find(offered.begin(), offered.end(), own[i]);
        if (own[i] == offered[i] || there == offered.end()) continue;
        refuse("the kernel's layer takes " + join(offered, ", ") + ", this one " + join(own, ", ") + ": " +
               own[i] +
               " is in another place, and TorchScript passes arguments by their places; give the kernel's "
               "names in the order of this layer's arguments as arguments = [ … ] in the binding");
    }
}

// `keyword_only`: of the original, where it is known.
void require_same_kind(const c10::Argument& own, const c10::Argument& offered,
                       const std::optional<std::set<std::string>>& keyword_only) {
    if (!keyword_only && offered.kwarg_only()) {
        refuse("the kernel's layer takes " + offered.name() +
               " by keyword only, and whether this one does is not known: tracing does not keep it, nor "
               "does a model that is saved without its source");
    }
    if (!keyword_only || keyword_only->contains(own.name()) == offered.kwarg_only()) return;
    refuse("the kernel's layer takes " + offered.name() +
           (offered.kwarg_only() ? " by keyword only, this one by position"
                                 : " by position, this one by keyword only"));
}

// Whether a tensor is written into the code.
bool holds_tensor(const Graph& graph) {
    bool holds = false;
    for_each_node(const_cast<Graph&>(graph).block(), [&](const Node* node) {
        holds = holds || (node->kind() == prim::Constant && !node->outputs().empty() &&
                          node->output()->type()->isSubtypeOf(*TensorType::get()));
    });
    return holds;
}

// Tracing leaves the tensors among the arguments; what else the hub method takes must be known.
IValue constant_argument(const Graph& graph, const c10::Argument& argument,
                         const std::map<std::string, project::AttributeValue>& given,
                         const std::string& refusal) {
    if (const auto known = given.find(argument.name()); known != given.end()) {
        IValue value = std::visit([](const auto& one) { return IValue(one); }, known->second);
        if (value.isInt() && argument.type()->kind() == TypeKind::FloatType)
            value = static_cast<double>(value.toInt());
        if (!value.type()->isSubtypeOf(*argument.type())) {
            refuse("the binding gives " + argument.name() + " as a " + value.type()->str() +
                   ", and the kernel takes a " + argument.type()->str());
        }
        return value;
    }
    if (c10::TensorType::get()->isSubtypeOf(*argument.type())) return {};  // None
    if (names_epsilon(argument.name())) {
        if (const auto found = recover_epsilon(graph)) return *found;
    }
    refuse(refusal + give_as_attribute(argument.name()));
}

}  // namespace

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
    if (given.results.size() != count)
        refuse("the binding names " + counted(given.results.size(), "result") +
               ", and the kernel's layer gives " + std::to_string(count));
    if (!tuple) return {};
    const auto first = tuple->elements().front();
    for (const auto& element : tuple->elements()) {
        if (*element != *first) refuse("the binding orders its results, which are of several types");
    }
    return {given.results.begin(), given.results.end()};
}

}  // namespace

std::vector<Value*> results_of(Graph& graph, const TypePtr& offered) {
    Value* result = find_place(graph, offered).result;
    if (result->node()->kind() != prim::TupleConstruct) return {result};
    const auto elements = result->node()->inputs();
    return {elements.begin(), elements.end()};
}

Arguments arguments_for(const Function& original, const Function& hub, const Given& given) {
    const auto& wanted = original.getSchema().arguments();
    const auto& offered = hub.getSchema().arguments();
    const Graph& graph = *toGraphFunction(original).graph();
    std::string refusal = mismatch(offered.size() - 1, wanted.size() - 1);
    if (wanted.size() > offered.size() && may_be_traced(graph)) {
        refusal +=
            "; tracing makes arguments of what other modules hold, and of a module's own weights where it is "
            "held in several: hold it in one, or script the model";
    }
    const auto is_tensor = [](const c10::Argument& argument) {
        return c10::TensorType::get()->isSubtypeOf(*argument.type());
    };
    const auto in_binding = [&](const c10::Argument& argument) {
        return given.attributes.contains(argument.name());
    };
    const auto among_offered = [&](auto matches) {
        return static_cast<std::size_t>(std::count_if(offered.begin() + 1, offered.end(), matches));
    };
    const auto is_optional = [&](const c10::Argument& argument) {
        return is_tensor(argument) && argument.type()->kind() == TypeKind::OptionalType;
    };
    const bool all_given = wanted.size() == offered.size();
    // What the layer does not give is what the binding gives, or else what tracing took away.
    const bool rest_in_binding = wanted.size() == offered.size() - among_offered(in_binding);
    const std::size_t tensors = among_offered(is_tensor);
    const bool by_tracing = !all_given && !rest_in_binding;
    // Tracing has every tensor that is given; what may be None and is not there was None.
    const bool nones = by_tracing && wanted.size() - 1 != tensors;
    if (nones && (!may_be_traced(graph) || wanted.size() - 1 != tensors - among_offered(is_optional)))
        refuse(refusal);
    if (nones && holds_tensor(graph))
        refuse(refusal + ": a tensor is written into its traced code, which may be one of them");
    const auto is_constant = [&](const c10::Argument& argument) {
        return !all_given && (rest_in_binding ? in_binding(argument)
                                              : !is_tensor(argument) || (nones && is_optional(argument)));
    };
    std::vector<std::string> order = given.arguments;
    if (order.empty() && wanted.size() > 2 && may_be_traced(graph)) {
        refuse("tracing does not keep the order of its " + std::to_string(wanted.size() - 1) +
               " arguments; give the kernel's names for them, in the order of the traced code, as "
               "arguments = [ … ] in the binding");
    }
    if (!order.empty() && order.size() != wanted.size() - 1)
        refuse("the binding names " + counted(order.size(), "argument") + ", and it takes " +
               std::to_string(wanted.size() - 1));
    if (order.empty() && !may_be_traced(graph)) {
        std::vector<std::string> own;
        std::vector<std::string> taken;
        for (std::size_t i = 1; i < wanted.size(); ++i)
            own.push_back(wanted[i].name());
        for (std::size_t i = 1; i < offered.size(); ++i)
            if (!is_constant(offered[i])) taken.push_back(offered[i].name());
        require_same_order(own, taken);
    }
    const auto keyword_only = keyword_only_parameters(original);
    Arguments arguments{std::size_t{0}};
    std::size_t next = 1;
    for (std::size_t i = 1; i < offered.size(); ++i) {
        if (is_constant(offered[i])) {
            arguments.emplace_back(constant_argument(graph, offered[i], given.attributes, refusal));
            continue;
        }
        std::size_t place = next++;
        if (!order.empty()) {
            const auto named = std::find(order.begin(), order.end(), offered[i].name());
            if (named == order.end())
                refuse("the binding does not name the kernel's argument " + offered[i].name());
            place = static_cast<std::size_t>(named - order.begin()) + 1;
        }
        require_same_kind(wanted[place], offered[i], keyword_only);
        const auto& here = offered[i].type();
        const auto& there = wanted[place].type();
        if (!there->isSubtypeOf(*here)) {
            refuse("the kernel's layer takes a " + here->str() + " as argument " + std::to_string(i) +
                   ", this one a " + there->str());
        }
        arguments.emplace_back(place);
    }
    return arguments;
}

HubMethod::HubMethod(const Module& layer, const LayerSource& hub_layer, const KernelLayer& kernel,
                     const Given& given)
    : m_layer(layer), m_type(layer.type()), m_name(unused_name(*m_type)) {
    const Function& original = m_type->getMethod("forward");
    require_same_parameters(original, hub_layer.forward, given);
    auto missing = missing_attributes(layer, hub_layer.attributes, given.attributes);
    CompileOptions options{kernel.op_namespace, std::move(missing.constants), std::move(missing.renamed),
                           argument_types(original, hub_layer.forward, given)};
    options.none = std::move(missing.none);
    compile_method(layer, m_type, m_name, hub_layer.forward, options);
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
            if (method == &first || compute_the_same(layer, first, *method, offered)) continue;
            refuse("its " + first.name() + ", which " + called_by(uses.callers(first)) +
                   " calls, cannot be shown to compute the same as its " + method->name() + ", which " +
                   called_by(uses.callers(*method)) + " calls");
        }
    }
}

}  // namespace

ReplacedForward replace_forward(const Module& layer, const LayerSource& hub_layer, const KernelLayer& kernel,
                                const Given& given, ClassUses& uses) {
    const HubMethod hub(layer, hub_layer, kernel, given);
    const auto methods = forwards(layer.type());
    const TypePtr offered = hub.graph().outputs().at(0)->type();
    std::vector<std::pair<Place, Arguments>> places;
    for (Function* method : methods) {
        auto arguments = arguments_for(*method, hub.function(), given);
        Graph& graph = *toGraphFunction(*method).graph();
        places.emplace_back(find_place(graph, offered), std::move(arguments));
        places.back().first.order = order_of_results(graph, offered, given);
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
    for (std::size_t i = 0; i < methods.size(); ++i)
        splice(*toGraphFunction(*methods[i]).graph(), places[i].first, hub.graph(), places[i].second);
    for_each_node(hub.graph().block(), [&](const Node* node) {
        replaced.calls_modules = replaced.calls_modules ||
                                 (node->kind() == prim::CallMethod && node->input(0)->type()->is_module());
    });
    return replaced;
}

}  // namespace kernels::torchscript
