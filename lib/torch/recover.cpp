#include "recover.hpp"

#include <torch/csrc/jit/api/function_impl.h>

#include <cctype>
#include <cmath>
#include <memory>
#include <set>
#include <vector>

#include "graph_calls.hpp"
#include "kernels/core/error.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

// Where a norm takes its epsilon from: a constant, or an attribute of the layer.
struct Epsilon {
    std::optional<double> constant;
    std::string attribute;
    auto operator<=>(const Epsilon&) const = default;
};

void add_epsilon(const Value* value, const Value* self, std::set<Epsilon>& found) {
    const Node* node = value->node();
    if (node->kind() == prim::GetAttr && node->input() == self &&
        value->type()->kind() == TypeKind::FloatType) {
        found.insert({std::nullopt, node->s(attr::name)});
        return;
    }
    if (node->kind() == prim::unchecked_cast)
        value = node->input(0);  // an optional number known not to be None
    const auto known = toIValue(value);
    if (known && known->isDouble()) found.insert({known->toDouble(), ""});
    if (known && known->isTensor() && known->toTensor().numel() == 1)
        found.insert({known->toTensor().item<double>(), ""});
}

bool takes_root(const Node& node) {
    if (node.kind() == aten::rsqrt || node.kind() == aten::sqrt) return true;
    if (node.kind() != aten::pow) return false;
    const auto exponent = toIValue(node.input(1));
    return exponent && exponent->isDouble() && std::abs(exponent->toDouble()) == 0.5;
}

void collect_epsilons(const Block* block, const Value* self, std::set<Epsilon>& found) {
    for (const Node* node : block->nodes()) {
        for (const Block* inner : node->blocks())
            collect_epsilons(inner, self, found);
        if (takes_root(*node)) {
            // Each of several that are added one after the other: none of them is the sum.
            for (const Node* add = node->input(0)->node();
                 add->kind() == aten::add && add->inputs().size() == 3; add = add->input(0)->node()) {
                const auto factor = toIValue(add->input(2));
                if (factor && factor->isInt() && factor->toInt() == 1)
                    add_epsilon(add->input(1), self, found);
            }
        } else if (const auto* schema = node->kind().is_aten() ? node->maybeSchema() : nullptr) {
            if (const auto place = schema->argumentIndexWithName("eps"))
                add_epsilon(node->input(static_cast<std::size_t>(*place)), self, found);
        }
    }
}

// A copy with the functions that it calls, torch's functional ones among them, in their places.
std::shared_ptr<Graph> with_functions(const Graph& graph) {
    auto copy = const_cast<Graph&>(graph).copy();  // which leaves it as it is
    std::vector<Node*> calls;
    do {
        calls.clear();
        for_each_node(copy->block(), [&](Node* node) {
            if (node->kind() == prim::CallFunction) calls.push_back(node);
        });
        std::erase_if(calls, [](Node* call) {
            auto* function = call->input(0)->type()->expectRef<c10::FunctionType>().function();
            auto* callee = tryToGraphFunction(*function);
            if (callee == nullptr) return true;
            call->removeInput(0);  // the function
            inlineCallTo(call, callee);
            return false;
        });
    } while (!calls.empty());
    return copy;
}

// Tracing turns the epsilon of a norm into a constant: the number that is added before the root is taken, or
// what a norm operator is given as `eps`. Anything but exactly one candidate is no answer.
std::set<Epsilon> epsilons(const Graph& graph) {
    std::set<Epsilon> found;
    collect_epsilons(graph.block(), graph.inputs().at(0), found);
    return found;
}

// Whether operators take an argument of this name, and all that do get None for it.
bool gets_none(Graph& graph, const std::string& name) {
    bool found = false;
    bool all = true;
    for_each_node(graph.block(), [&](const Node* node) {
        const auto* schema = node->kind().is_aten() ? node->maybeSchema() : nullptr;
        const auto place = schema != nullptr ? schema->argumentIndexWithName(name) : std::nullopt;
        if (!place) return;
        const auto given = toIValue(node->input(static_cast<std::size_t>(*place)));
        found = true;
        all = all && given && given->isNone();
    });
    return found && all;
}

std::string to_text(const project::AttributeValue& value) {
    return std::visit([](const auto& known) { return c10::str(known); }, value);
}

}  // namespace

bool names_epsilon(const std::string& name) {
    std::string word;
    const auto is_epsilon = [&word] { return word == "eps" || word == "epsilon"; };
    char before = '_';
    for (const char c : name) {
        const auto letter = static_cast<unsigned char>(c);
        const bool begins =
            std::isupper(letter) != 0 && std::islower(static_cast<unsigned char>(before)) != 0;
        if (begins || std::isalpha(letter) == 0) {
            if (is_epsilon()) return true;
            word.clear();
        }
        if (std::isalpha(letter) != 0) word += static_cast<char>(std::tolower(letter));
        before = c;
    }
    return is_epsilon();
}

std::optional<double> recover_epsilon(const Graph& graph) {
    const auto found = epsilons(*with_functions(graph));
    return found.size() == 1 ? found.begin()->constant : std::nullopt;
}

Missing missing_attributes(const Module& layer, const std::set<std::string>& read,
                           const std::map<std::string, project::AttributeValue>& given) {
    Missing missing;
    const auto type = layer.type();
    const auto graph = with_functions(*toGraphFunction(layer.get_method("forward").function()).graph());
    for (const auto& name : read) {
        if (type->hasAttribute(name) || type->hasConstant(name) || type->findMethod(name) != nullptr)
            continue;
        const auto known = given.find(name);
        const auto found = names_epsilon(name) ? epsilons(*graph) : std::set<Epsilon>();
        if (known != given.end()) {
            const auto* number = std::get_if<double>(&known->second);
            if (number != nullptr && found.size() == 1 &&
                found.begin()->constant.value_or(*number) != *number)
                refuse("the binding gives " + name + " = " + to_text(known->second) +
                       ", and this layer computes with " + c10::str(*found.begin()->constant));
            missing.constants.emplace(*known);
        } else if (found.size() == 1 && found.begin()->constant) {
            missing.constants.emplace(name, *found.begin()->constant);
        } else if (found.size() == 1) {
            missing.renamed.emplace(name, found.begin()->attribute);
        } else if (!found.empty()) {
            refuse("the kernel's layer needs the attribute " + name +
                   ", which this layer does not have and which of its numbers it is cannot be told; give it "
                   "as attributes = { " +
                   name + " = … } in the binding");
        } else if (gets_none(*graph, name)) {
            missing.none.insert(name);
        }
        // What else is not there may be read where this layer never comes; the compiler says so if not.
    }
    // Also what is below an attribute ("config.hidden_act"), and what only the functions that get self read.
    for (const auto& [name, value] : given) {
        const std::string root = name.substr(0, name.find('.'));
        if (!type->hasAttribute(root) && !type->hasConstant(root) && type->findMethod(root) == nullptr)
            missing.constants.emplace(name, value);
    }
    return missing;
}

}  // namespace kernels::torchscript
