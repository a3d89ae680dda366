#include "graph_pattern.hpp"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/freeze_module.h>
#include <torch/csrc/jit/passes/frozen_graph_optimizations.h>
#include <torch/csrc/jit/passes/inliner.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "graph_calls.hpp"
#include "kernels/core/error.hpp"
#include "kernels/torch/verify.hpp"
#include "original_forwards.hpp"
#include "pattern_matcher.hpp"
#include "splice.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

// Saving and loading chooses operators anew by what is printed: the model went through it as well.
Module saved_and_loaded(const Module& module) {
    std::stringstream archive;
    module.save(archive);
    return torch::jit::load(archive);
}

// The reference as freezing leaves it, but for what may differ from layer to layer.
Module frozen(const Module& reference) {
    Module module = reference.clone();
    module.eval();
    std::vector<std::string> kept;
    for (const auto& attribute : module.named_attributes(false))
        if (attribute.value.isDouble()) kept.push_back(attribute.name);
    Module result = freeze_module(module, kept, true, true);
    auto graph = toGraphFunction(result.get_method("forward").function()).graph();
    OptimizeFrozenGraph(graph, true);
    return saved_and_loaded(result);
}

// The reference with its calls inlined and nothing else.
Module inlined(const Module& reference) {
    Module module = saved_and_loaded(reference);
    Inline(*toGraphFunction(module.get_method("forward").function()).graph());
    return module;
}

// The hub method's graph with what it reads from self as further inputs.
struct OpenGraph {
    std::shared_ptr<Graph> graph;
    std::vector<std::string> attributes;
};

OpenGraph opened(Graph& hub) {
    OpenGraph open{hub.copy(), {}};
    Value* self = open.graph->inputs().at(0);
    const auto uses = self->uses();
    for (const auto& use : uses) {
        if (use.user->kind() != prim::GetAttr) refuse("the kernel's layer calls other methods of itself");
        const std::string name = use.user->s(attr::name);
        Value* input = open.graph->addInput();
        input->setType(use.user->output()->type());
        use.user->output()->replaceAllUsesWith(input);
        use.user->destroy();
        open.attributes.push_back(name);
    }
    open.graph->eraseInput(0);
    return open;
}

// Gives the hub layer's results, which are to stand for those of the match.
std::vector<Value*> put_in(Graph& graph, const Match& match, const Graph& pattern, const OpenGraph& hub,
                           const Arguments& arguments, const Module& reference) {
    const WithInsertPoint guard(match.last);
    std::vector<Value*> inputs;
    for (std::size_t i = 1; i < arguments.size(); ++i) {
        const auto* index = std::get_if<std::size_t>(&arguments[i]);
        if (index == nullptr) {
            inputs.push_back(graph.insertConstant(std::get<IValue>(arguments[i])));
            continue;
        }
        const auto bound = match.values.find(pattern.inputs().at(*index));
        if (bound == match.values.end()) refuse("the reference does not use all of its arguments");
        inputs.push_back(bound->second);
    }
    for (const auto& name : hub.attributes) {
        const auto bound = match.attributes.find(name);
        if (bound != match.attributes.end()) {
            Value* value = bound->second.value;
            inputs.push_back(value != nullptr ? value : graph.insertConstant(bound->second.derived));
            continue;
        }
        const IValue own = reference.attr(name);
        if (own.isTensor()) refuse("the reference's " + name + " is not found in the model");
        inputs.push_back(graph.insertConstant(own));
    }
    Value* result = insertGraph(graph, *hub.graph, inputs).at(0);
    if (match.results.size() == 1) return {result};
    Node* unpacked = graph.insertNode(graph.createTupleUnpack(result));
    return unpacked->outputs().vec();
}

// Where the reference's attributes are: constants, or a path below self.
std::map<std::string, AttributeSource> sources_of(const Match& match, const Graph& graph) {
    std::map<std::string, AttributeSource> sources;
    for (const auto& [name, bound] : match.attributes) {
        if (auto constant = bound.constant()) {
            sources.emplace(name, *std::move(constant));
        } else if (auto path = attribute_name(bound.value, graph.inputs().at(0))) {
            sources.emplace(name, *std::move(path));
        }
    }
    return sources;
}

std::shared_ptr<const MatchedLayer> matched_layer(const Module& reference, const LayerSource& hub_layer,
                                                  const KernelLayer& kernel, const Given& given) {
    auto layer = std::make_shared<MatchedLayer>();
    layer->reference = reference;
    layer->replaced = with_own_code(reference);
    Graph& graph = *toGraphFunction(reference.get_method("forward").function()).graph();
    {
        const HubMethod hub(layer->replaced, hub_layer, kernel, given);
        const auto place = find_place(graph, hub.graph().outputs().at(0)->type());
        if (place.tuple != nullptr) layer->element = place.index;
    }
    ClassUses uses(layer->replaced);
    replace_forward(layer->replaced, hub_layer, kernel, given, uses);
    return layer;
}

void number_in(Block* block, std::vector<Value*>& values) {
    for (Node* node : block->nodes()) {
        for (Value* output : node->outputs())
            values.push_back(output);
        for (Block* inner : node->blocks())
            number_in(inner, values);
    }
}

}  // namespace

std::vector<Value*> values_in(Graph& graph) {
    std::vector<Value*> values(graph.inputs().begin(), graph.inputs().end());
    number_in(graph.block(), values);
    return values;
}

// Which value of the untouched graph each value is.
class PatternSearch::Numbers {
  public:
    explicit Numbers(Graph& graph) {
        for (Value* value : values_in(graph))
            m_numbers.emplace(value, m_numbers.size());
    }
    std::optional<std::size_t> of(const Value* value) const {
        const auto found = m_numbers.find(value);
        return found == m_numbers.end() ? std::nullopt : std::optional(found->second);
    }
    void stands_for(const Value* now, const Value* before) {
        if (const auto number = of(before)) m_numbers[now] = *number;
    }
    /// Values that are gone must not lend their numbers to new ones at the same address.
    void keep_only_those_in(Graph& graph) {
        std::map<const Value*, std::size_t> left;
        for (const Value* value : values_in(graph))
            if (const auto number = of(value)) left.emplace(value, *number);
        m_numbers = std::move(left);
    }

  private:
    std::map<const Value*, std::size_t> m_numbers;
};

PatternSearch::PatternSearch(const Module& model) : m_model(model) {
    std::set<const Function*> called;
    bool all_known = true;
    for (const auto& method : model.get_methods())
        if (!is_original(method.function()))
            all_known = collect_called(method.function(), called) && all_known;
    for (const auto& named : model.named_modules()) {
        const auto type = named.value.type();
        for (Function* function : type->methods()) {
            if (!function->isGraphFunction() || is_original(*function)) continue;
            if (has_original(named.value, function->name())) continue;
            // What nothing calls could not be compared with the original; inlining leaves such methods.
            if (all_known && !called.contains(function)) continue;
            auto* graph = toGraphFunction(*function).graph().get();
            if (m_numbers.contains(graph)) continue;
            m_places.push_back({named.name, named.value, function->name(), graph});
            m_numbers.emplace(graph, std::make_unique<Numbers>(*graph));
        }
    }
}

PatternSearch::~PatternSearch() = default;

std::vector<std::shared_ptr<const PatternMatch>> PatternSearch::replace(const Module& reference,
                                                                        const LayerSource& hub_layer,
                                                                        const KernelLayer& kernel,
                                                                        const Given& given) {
    // What changes nothing else can be found by what its result is computed from, and taken out.
    if (changes_in_place(*toGraphFunction(reference.get_method("forward").function()).graph()))
        refuse("the reference changes tensors or attributes in place, which no form tells");
    const auto layer = matched_layer(reference, hub_layer, kernel, given);
    const HubMethod method(reference, hub_layer, kernel, given);
    const Arguments arguments =
        arguments_for(reference.get_method("forward").function(), method.function(), given, {});
    const OpenGraph hub = opened(method.graph());
    const auto offered = method.graph().outputs().at(0)->type();
    std::vector<std::shared_ptr<const PatternMatch>> found;
    for (const auto& place : m_places)
        require_name_of_original(place.module, place.method);
    for (const auto& form : {frozen(reference), inlined(reference)}) {
        Graph& pattern = *toGraphFunction(form.get_method("forward").function()).graph();
        const auto results = results_of(pattern, offered);
        const bool nothing_to_find = std::any_of(results.begin(), results.end(), [](const Value* result) {
            return result->node()->kind() == prim::Param || constant_of(result);
        });
        if (nothing_to_find) continue;
        Matcher matcher(reference, pattern, results);
        for (const auto& place : m_places) {
            // All are found before any is replaced: what the kernels write is no change to the model. Nor is
            // it searched, so it has no numbers.
            auto matches = matcher.find_in(*place.graph);
            Numbers& numbers = *m_numbers.at(place.graph);
            std::erase_if(matches, [&](const Match& match) { return !numbers.of(match.results.front()); });
            if (matches.empty()) continue;
            keep_original(place.module, place.method);
            std::map<Value*, Value*> replaced;
            for (auto& match : matches) {
                for (auto& [of_pattern, bound] : match.values)
                    if (const auto now = replaced.find(bound); now != replaced.end()) bound = now->second;
                auto report = std::make_shared<PatternMatch>();
                report->row = (place.path.empty() ? "" : place.path + ".") + place.method + "[" +
                              std::to_string(m_count++) + "]";
                report->module = place.path;
                report->method = place.method;
                report->layer = layer;
                report->rank = match.rank;
                report->attributes = sources_of(match, *place.graph);
                for (const Value* result : match.results)
                    report->results.push_back(numbers.of(result).value());
                for (const Value* argument : pattern.inputs().slice(1)) {
                    const auto bound = match.values.find(argument);
                    report->arguments.push_back(bound == match.values.end() ? std::nullopt
                                                                            : numbers.of(bound->second));
                }
                const auto given_results = put_in(*place.graph, match, pattern, hub, arguments, reference);
                for (std::size_t i = 0; i < given_results.size(); ++i) {
                    match.results[i]->replaceAllUsesAfterNodeWith(match.last, given_results[i]);
                    replaced[match.results[i]] = given_results[i];
                    numbers.stands_for(given_results[i], match.results[i]);
                }
                found.push_back(std::move(report));
            }
            EliminateDeadCode(place.graph->block());
            numbers.keep_only_those_in(*place.graph);
        }
    }
    return found;
}

}  // namespace kernels::torchscript
