#include "layer_arguments.hpp"

#include <torch/csrc/jit/api/function_impl.h>

#include <algorithm>

#include "graph_calls.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "original_source.hpp"
#include "recover.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

std::string mismatch(std::size_t offered, std::size_t wanted) {
    return "the kernel's layer takes " + counted(offered, "argument") + ", this one " +
           std::to_string(wanted);
}

std::string give_as_attribute(const std::string& name) {
    return "; give " + name + " as attributes = { " + name + " = … } in the binding";
}

constexpr const char* name_those_given =
    "; give the kernel's names for those that it has, in the order of the traced code, as "
    "arguments = [ … ] in the binding: the others are None then";

bool takes_tensor(const c10::Argument& argument) {
    return TensorType::get()->isSubtypeOf(*argument.type());
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

// Tracing leaves the tensors among the arguments; what else the hub method takes must be known.
IValue constant_argument(const Graph& graph, const c10::Argument& argument, const Given& given,
                         const std::string& refusal) {
    if (const auto known = given.attributes.find(argument.name()); known != given.attributes.end()) {
        IValue value = std::visit([](const auto& one) { return IValue(one); }, known->second);
        if (value.isInt() && FloatType::get()->isSubtypeOf(*argument.type()))
            value = static_cast<double>(value.toInt());
        if (!value.type()->isSubtypeOf(*argument.type())) {
            refuse("the binding gives " + argument.name() + " as a " + value.type()->str() +
                   ", and the kernel takes a " + argument.type()->str());
        }
        return value;
    }
    if (names_epsilon(argument.name())) {
        if (const auto found = recover_epsilon(graph)) return *found;
    }
    // Tracing leaves out all numbers, but no tensors that are there.
    const bool is_tensor = takes_tensor(argument);
    if (!given.arguments.empty() && is_tensor && argument.type()->kind() == TypeKind::OptionalType) return {};
    if (is_tensor && may_be_traced(graph)) refuse(refusal + name_those_given);
    refuse(refusal + (is_tensor ? std::string() : give_as_attribute(argument.name())));
}

void require_names(const std::vector<std::string>& order, std::size_t count,
                   const std::vector<c10::Argument>& offered) {
    if (order.size() != count)
        refuse("the binding names " + counted(order.size(), "argument") + ", and it takes " +
               std::to_string(count));
    for (auto name = order.begin(); name != order.end(); ++name) {
        const bool known = std::any_of(offered.begin() + 1, offered.end(),
                                       [&](const auto& argument) { return argument.name() == *name; });
        if (!known) refuse("the binding names " + *name + ", which the kernel's layer does not take");
        if (std::find(order.begin(), name, *name) != name) refuse("the binding names " + *name + " twice");
    }
}

}  // namespace

void require_same_parameters(const Function& original, const FunctionSource& hub, const Given& given) {
    const auto& parameters = hub.definition->parameters;
    std::size_t open = 0;
    std::string by_default;
    if (const auto unfit = hub.unfit_parameter(); !unfit.empty()) refuse("the kernel's layer " + unfit);
    for (std::size_t i = hub.method ? 1 : 0; i < parameters.size(); ++i) {
        if (given.attributes.contains(parameters[i].name)) continue;
        ++open;
        const auto* value = parameters[i].value.get();
        if (value != nullptr && !value->is(source::Expression::Kind::constant, "None") && by_default.empty())
            by_default = parameters[i].name;
    }
    const std::size_t offered = hub.argument_count();
    const std::size_t wanted = original.getSchema().arguments().size() - 1;
    if (offered == wanted || open == wanted || may_be_traced(*toGraphFunction(original).graph())) return;
    const bool may_be_given = offered > wanted && !by_default.empty();
    refuse(mismatch(offered, wanted) + (may_be_given ? give_as_attribute(by_default) : std::string()));
}

std::optional<std::vector<TypePtr>> argument_types(const Function& original, const FunctionSource& hub,
                                                   const Given& given, const OwnArguments& own) {
    std::vector<TypePtr> types;
    const auto& wanted = original.getSchema().arguments();
    for (std::size_t i = 1; i < wanted.size(); ++i)  // 0 is self
        if (!own.contains(i)) types.push_back(wanted[i].type());
    const auto& parameters = hub.definition->parameters;
    const auto stars = std::count_if(parameters.begin(), parameters.end(),
                                     [](const auto& parameter) { return parameter.stars != 0; });
    const auto offered = parameters.size() - static_cast<std::size_t>(stars) - (hub.method ? 1 : 0);
    const bool all = types.size() >= offered;
    return given.arguments.empty() && all ? std::optional(std::move(types)) : std::nullopt;
}

Arguments arguments_for(const Function& original, const Function& hub, const Given& given,
                        const OwnArguments& own) {
    const auto& all = original.getSchema().arguments();
    std::vector<std::size_t> places;  // of what the layer is given
    for (std::size_t i = 1; i < all.size(); ++i)
        if (!own.contains(i)) places.push_back(i);
    const auto& offered = hub.getSchema().arguments();
    const Graph& graph = *toGraphFunction(original).graph();
    std::string refusal = mismatch(offered.size() - 1, places.size());
    if (places.size() + 1 > offered.size() && may_be_traced(graph)) {
        refusal +=
            "; tracing makes arguments of what other modules hold: hold it in the layer, or script the model";
    }
    const auto in_binding = [&](const c10::Argument& argument) {
        return given.attributes.contains(argument.name());
    };
    const auto among_offered = [&](auto matches) {
        return static_cast<std::size_t>(std::count_if(offered.begin() + 1, offered.end(), matches));
    };
    const auto& order = given.arguments;
    if (!order.empty()) require_names(order, places.size(), offered);
    const bool all_given = places.size() + 1 == offered.size();
    // What the layer does not give is what the binding gives, or else what tracing took away.
    const bool rest_in_binding = places.size() + 1 == offered.size() - among_offered(in_binding);
    // An optional tensor that is not there need not have been None, unless the binding says so: tracing
    // merges equal arguments, and takes the layer's own weights out of them.
    if (order.empty() && !all_given && !rest_in_binding && places.size() != among_offered(takes_tensor)) {
        const bool some_left_out = places.size() + 1 < offered.size() && may_be_traced(graph);
        refuse(refusal + (some_left_out ? name_those_given : ""));
    }
    const auto is_constant = [&](const c10::Argument& argument) {
        if (!order.empty()) return std::find(order.begin(), order.end(), argument.name()) == order.end();
        return !all_given && (rest_in_binding ? in_binding(argument) : !takes_tensor(argument));
    };
    if (order.empty() && places.size() > 1 && may_be_traced(graph)) {
        refuse("tracing does not keep the order of its " + std::to_string(places.size()) +
               " arguments; give the kernel's names for them, in the order of the traced code, as "
               "arguments = [ … ] in the binding");
    }
    if (order.empty() && !may_be_traced(graph)) {
        std::vector<std::string> names;
        std::vector<std::string> taken;
        for (const std::size_t i : places)
            names.push_back(all[i].name());
        for (std::size_t i = 1; i < offered.size(); ++i)
            if (!is_constant(offered[i])) taken.push_back(offered[i].name());
        require_same_order(names, taken);
    }
    const auto keyword_only = keyword_only_parameters(original);
    Arguments arguments{std::size_t{0}};
    std::size_t next = 0;
    for (std::size_t i = 1; i < offered.size(); ++i) {
        if (is_constant(offered[i])) {
            arguments.emplace_back(constant_argument(graph, offered[i], given, refusal));
            continue;
        }
        std::size_t number = next++;
        if (!order.empty()) {
            const auto named = std::find(order.begin(), order.end(), offered[i].name());
            number = static_cast<std::size_t>(named - order.begin());
        }
        const std::size_t place = places.at(number);
        require_same_kind(all[place], offered[i], keyword_only);
        const auto& here = offered[i].type();
        const auto& there = all[place].type();
        if (!there->isSubtypeOf(*here)) {
            refuse("the kernel's layer takes a " + here->str() + " as argument " + std::to_string(i) +
                   ", this one a " + there->str());
        }
        arguments.emplace_back(place);
    }
    return arguments;
}

}  // namespace kernels::torchscript
