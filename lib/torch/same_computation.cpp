#include "same_computation.hpp"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/passes/peephole.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "graph_calls.hpp"
#include "module_at.hpp"
#include "pattern_matcher.hpp"
#include "rewrite.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

// Whether a node does anything but give its results, or holds others that may. Whether what is compared
// reads its effects, and in which order, is not looked at.
bool has_effects(const Node& node) {
    if (!node.blocks().empty() || node.hasAttribute(attr::Subgraph) || node.kind() == prim::SetAttr ||
        node.hasSideEffects())
        return true;
    const auto* schema = node.maybeSchema();
    return schema != nullptr && schema->is_mutable();
}

bool has_effects(const Graph& graph) {
    const auto nodes = graph.nodes();
    return std::any_of(nodes.begin(), nodes.end(), [](const Node* node) { return has_effects(*node); });
}

// The method without calls, with the layer's numbers in the place of its attributes: tracing has written
// them, and taken the branches that they choose.
std::shared_ptr<Graph> with_numbers(const Computation& one, const Module& layer) {
    auto graph = toGraphFunction(one.method).graph()->copy();
    read_own(*graph, one.own);
    for (auto own = one.own.rbegin(); own != one.own.rend(); ++own)
        graph->eraseInput(own->first);
    Inline(*graph);
    for_each_node(graph->block(), [&](Node* node) {
        if (node->kind() != prim::GetAttr) return;
        const auto path = attribute_name(node->output(), graph->inputs().at(0));
        if (!path) return;
        const IValue value = attribute_at(layer, *path);
        if (value.isTensor() || value.isModule()) return;
        const WithInsertPoint here(node);
        if (auto constant = tryInsertConstant(*graph, value)) node->output()->replaceAllUsesWith(*constant);
    });
    ConstantPropagation(graph);
    PeepholeOptimize(graph);
    ConstantPropagation(graph);
    EliminateDeadCode(graph);
    return graph;
}

// What a value is computed by, with names and order left out.
std::string computation(const Value* value) {
    std::map<const Value*, std::size_t> numbers;
    std::string text;
    const std::function<std::size_t(const Value*)> describe = [&](const Value* one) -> std::size_t {
        if (const auto known = numbers.find(one); known != numbers.end()) return known->second;
        const Node* node = one->node();
        std::string line;
        if (node->kind() == prim::Param) {
            line = c10::str("argument ", one->offset());
        } else if (node->kind() == prim::Constant) {
            line = c10::str("constant ", toIValue(one).value_or(c10::IValue()));
        } else {
            line = c10::str(node->kind().toQualString(), " output ", one->offset());
            if (node->hasAttribute(attr::name)) line += " " + node->s(attr::name);
            for (const Value* input : node->inputs())
                line += c10::str(" %", describe(input));
        }
        text += line + "\n";
        return numbers.emplace(one, numbers.size()).first->second;
    };
    describe(value);
    return text;
}

// Whether what the match has for an attribute is that attribute, or another name of the same tensor.
bool is_attribute(const Module& layer, const std::string& name, const Bound& bound, const Graph& graph) {
    if (bound.value == nullptr) return false;
    const auto path = attribute_name(bound.value, graph.inputs().at(0));
    return path && attribute_at(layer, *path).is(attribute_at(layer, name));
}

// Whether the whole of `graph` has the form of `pattern`, each argument in its place.
bool has_form(const Module& layer, Graph& pattern, Graph& graph, const TypePtr& offered) {
    const auto wanted = results_of(pattern, offered);
    const bool nothing_to_find = std::any_of(wanted.begin(), wanted.end(), [](const Value* result) {
        return result->node()->kind() == prim::Param || constant_of(result);
    });
    if (nothing_to_find) return false;
    const auto found = results_of(graph, offered);
    const auto matches = Matcher(layer, pattern, wanted).find_in(graph);
    return std::any_of(matches.begin(), matches.end(), [&](const Match& match) {
        if (match.results != found || match.rank) return false;
        for (const auto& [from, to] : match.values) {
            if (from->node()->kind() == prim::Param &&
                (to->node()->kind() != prim::Param || to->offset() != from->offset()))
                return false;
        }
        return std::all_of(match.attributes.begin(), match.attributes.end(), [&](const auto& one) {
            return is_attribute(layer, one.first, one.second, graph);
        });
    });
}

}  // namespace

bool compute_the_same(const Module& layer, const Computation& one, const Computation& other,
                      const TypePtr& offered) {
    const auto first = with_numbers(one, layer);
    const auto second = with_numbers(other, layer);
    if (has_effects(*first) || has_effects(*second)) return false;
    if (computation(find_place(*first, offered).result) == computation(find_place(*second, offered).result))
        return true;
    // What differs by the way it was made differs in one direction: a number for a tensor's dtype.
    return has_form(layer, *first, *second, offered) || has_form(layer, *second, *first, offered);
}

}  // namespace kernels::torchscript
