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

// The attributes of itself that a module changes.
std::set<std::string> attributes_written(const ClassType& type) {
    std::set<std::string> written;
    for (const Function* method : type.methods()) {
        if (!method->isGraphFunction()) continue;
        for_each_node(toGraphFunction(*method).graph()->block(), [&](const Node* node) {
            if (node->kind() == prim::SetAttr) written.insert(node->s(attr::name));
        });
    }
    return written;
}

// The method without calls, with the layer's numbers in the place of its attributes: tracing has written
// them, and taken the branches that they choose.
std::shared_ptr<Graph> with_numbers(const Function& method, const Module& layer) {
    auto graph = toGraphFunction(method).graph()->copy();
    Inline(*graph);
    const auto written = attributes_written(*layer.type());
    for_each_node(graph->block(), [&](Node* node) {
        if (node->kind() != prim::GetAttr || written.contains(node->s(attr::name))) return;
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

// What a value is computed by, with names and order left out; nothing when there are branches or loops.
std::optional<std::string> computation(const Graph& graph, const Value* value) {
    std::map<const Value*, std::size_t> numbers;
    std::string text;
    bool plain = true;
    const std::function<std::size_t(const Value*)> describe = [&](const Value* one) -> std::size_t {
        if (const auto known = numbers.find(one); known != numbers.end()) return known->second;
        const Node* node = one->node();
        std::string line;
        if (node->kind() == prim::Param) {
            line = c10::str("argument ", one->offset());
        } else if (node->kind() == prim::Constant) {
            line = c10::str("constant ", toIValue(one).value_or(c10::IValue()));
        } else {
            plain = plain && node->blocks().empty() && node->owningBlock() == graph.block();
            line = c10::str(node->kind().toQualString(), " output ", one->offset());
            if (node->hasAttribute(attr::name)) line += " " + node->s(attr::name);
            for (const Value* input : node->inputs())
                line += c10::str(" %", describe(input));
        }
        text += line + "\n";
        return numbers.emplace(one, numbers.size()).first->second;
    };
    describe(value);
    return plain ? std::optional(text) : std::nullopt;
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

bool compute_the_same(const Module& layer, const Function& one, const Function& other,
                      const TypePtr& offered) {
    const auto first = with_numbers(one, layer);
    const auto second = with_numbers(other, layer);
    const auto text = computation(*first, find_place(*first, offered).result);
    if (text && text == computation(*second, find_place(*second, offered).result)) return true;
    // What differs by the way it was made differs in one direction: a number for a tensor's dtype.
    return has_form(layer, *first, *second, offered) || has_form(layer, *second, *first, offered);
}

}  // namespace kernels::torchscript
