#include "graph_pattern.hpp"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/freeze_module.h>
#include <torch/csrc/jit/passes/frozen_graph_optimizations.h>
#include <torch/csrc/jit/passes/inliner.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <sstream>

#include "kernels/core/error.hpp"
#include "original_forwards.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

[[noreturn]] void refuse(const std::string& why) {
    throw Error(ErrorCode::kernelize, why);
}

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

// A constant, also one that is printed as a list or tuple of constants.
std::optional<IValue> constant_of(const Value* value) {
    if (auto constant = toIValue(value)) return constant;
    const Node* node = value->node();
    if (node->kind() != prim::ListConstruct && node->kind() != prim::TupleConstruct) return std::nullopt;
    std::vector<IValue> elements;
    for (const Value* input : node->inputs()) {
        auto element = constant_of(input);
        if (!element) return std::nullopt;
        elements.push_back(std::move(*element));
    }
    return c10::ivalue::Tuple::create(std::move(elements));
}

// Lists count as tuples of their elements.
std::vector<IValue> elements_of(const IValue& value) {
    if (value.isTuple()) return value.toTuple()->elements().vec();
    const auto list = value.toListRef();
    return list.vec();
}

bool equal_constants(const IValue& one, const IValue& other) {
    if (one.isTensor() && other.isTensor()) {
        const auto& a = one.toTensor();
        const auto& b = other.toTensor();
        return a.defined() == b.defined() && (!a.defined() || (a.scalar_type() == b.scalar_type() &&
                                                               a.device() == b.device() && a.equal(b)));
    }
    const bool several = one.isTuple() || one.isList();
    if (several != (other.isTuple() || other.isList())) return false;
    if (!several) return one.tagKind() == other.tagKind() && one == other;
    const auto a = elements_of(one);
    const auto b = elements_of(other);
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), equal_constants);
}

bool is_new_memory(const Value* value) {
    static const std::set<std::string> makers{"aten::empty", "aten::empty_like", "aten::new_empty",
                                              "aten::zeros", "aten::zeros_like"};
    return makers.contains(value->node()->kind().toQualString());
}

// Whether a node before `last` may change values that are there already. New memory that nothing else has
// seen is none of them: kernels write into such.
bool changes_values(const Node& node, const Node& last) {
    if (!node.blocks().empty() || node.kind() == prim::SetAttr || node.kind() == prim::CallMethod ||
        node.kind() == prim::CallFunction || node.hasSideEffects())
        return true;
    const auto* schema = node.maybeSchema();
    if (schema == nullptr || !schema->is_mutable()) return false;
    for (std::size_t i = 0; i < schema->arguments().size(); ++i) {
        const auto* alias = schema->arguments()[i].alias_info();
        if (alias == nullptr || !alias->isWrite()) continue;
        if (!is_new_memory(node.input(i))) return true;
        for (const auto& use : node.input(i)->uses()) {
            if (use.user != &node &&
                (use.user->owningBlock() != last.owningBlock() || !last.isBefore(use.user)))
                return true;
        }
    }
    return false;
}

// The name below self of what is read there: "weight".
std::optional<std::string> attribute_name(const Value* value, const Value* self) {
    if (value == self) return "";
    if (value->node()->kind() != prim::GetAttr) return std::nullopt;
    const auto owner = attribute_name(value->node()->input(), self);
    if (!owner) return std::nullopt;
    return owner->empty() ? value->node()->s(attr::name) : *owner + "." + value->node()->s(attr::name);
}

struct Match {
    std::map<const Value*, Value*> values;     // of the pattern, in the model
    std::map<std::string, Value*> attributes;  // of the reference
    std::set<Node*> nodes;
};

class Matcher {
  public:
    Matcher(const Module& reference, const Graph& pattern, const Value* result)
        : m_reference(reference), m_self(pattern.inputs().at(0)), m_result(result) {}

    std::optional<Match> match(Value* value) {
        m_match = {};
        m_block = value->node()->owningBlock();
        if (!fits(m_result, value) || m_match.nodes.empty() || is_disturbed(value->node()))
            return std::nullopt;
        return std::move(m_match);
    }

  private:
    bool fits(const Value* pattern, Value* value) {
        if (const auto known = m_match.values.find(pattern); known != m_match.values.end())
            return same(known->second, value);
        const bool matches = fits_anew(pattern, value);
        if (matches) m_match.values.emplace(pattern, value);
        return matches;
    }

    static bool same(const Value* one, const Value* other) {
        if (one == other) return true;
        const auto a = constant_of(one);
        const auto b = constant_of(other);
        return a && b && equal_constants(*a, *b);
    }

    bool fits_anew(const Value* pattern, Value* value) {
        const Node* node = pattern->node();
        if (node->kind() == prim::Param) return value->type()->isSubtypeOf(*pattern->type());
        if (const auto name = attribute_name(pattern, m_self)) return fits_attribute(*name, pattern, value);
        if (const auto constant = constant_of(pattern)) {
            const auto there = constant_of(value);
            return there && equal_constants(*constant, *there);
        }
        Node* there = value->node();
        if (there->kind() != node->kind() || there->owningBlock() != m_block ||
            there->inputs().size() != node->inputs().size() ||
            there->outputs().size() != node->outputs().size() || value->offset() != pattern->offset())
            return false;
        for (std::size_t i = 0; i < node->inputs().size(); ++i)
            if (!fits(node->input(i), there->input(i))) return false;
        m_match.nodes.insert(there);
        return true;
    }

    bool fits_attribute(const std::string& name, const Value* pattern, Value* value) {
        const auto constant = toIValue(value);
        const bool is_attribute = value->node()->kind() == prim::GetAttr;
        if (!constant && !is_attribute) return false;
        if (!value->type()->isSubtypeOf(*pattern->type())) return false;
        if (constant && constant->isTensor() && m_reference.hasattr(name)) {
            const IValue own = m_reference.attr(name);
            if (!own.isTensor() || own.toTensor().dim() != constant->toTensor().dim()) return false;
        }
        const auto [known, is_new] = m_match.attributes.emplace(name, value);
        return is_new || same(known->second, value);
    }

    bool is_disturbed(Node* last) const {
        const Node* first = last;
        for (const Node* node : m_match.nodes)
            if (node->isBefore(first)) first = node;
        for (const Node* node = last; node != first; node = node->prev())
            if (changes_values(*node, *last)) return true;
        return changes_values(*first, *last);
    }

    const Module& m_reference;
    const Value* m_self;
    const Value* m_result;
    const Block* m_block = nullptr;
    Match m_match;
};

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

Value* put_in(Graph& graph, const Match& match, const Graph& pattern, Value* old, const OpenGraph& hub,
              const Arguments& arguments, const Module& reference) {
    const WithInsertPoint guard(old->node());
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
            inputs.push_back(bound->second);
            continue;
        }
        const IValue own = reference.attr(name);
        if (own.isTensor()) refuse("the reference's " + name + " is not found in the model");
        inputs.push_back(graph.insertConstant(own));
    }
    Value* result = insertGraph(graph, *hub.graph, inputs).at(0);
    old->replaceAllUsesWith(result);
    return result;
}

void find_in(Block* block, Matcher& matcher, const Value* result,
             const std::function<void(Value*, const Match&)>& found) {
    for (auto node = block->nodes().begin(); node != block->nodes().end();) {
        Node* here = *node;
        ++node;
        for (Block* inner : here->blocks())
            find_in(inner, matcher, result, found);
        if (here->kind() != result->node()->kind() || here->outputs().size() <= result->offset()) continue;
        Value* value = here->output(result->offset());
        if (!value->hasUses()) continue;
        if (const auto match = matcher.match(value)) found(value, *match);
    }
}

}  // namespace

std::vector<std::string> replace_matches(Module& model, const Module& reference, const LayerSource& hub_layer,
                                         const KernelLayer& kernel, const Given& given) {
    const HubMethod method(reference, reference, hub_layer, kernel, given);
    const Arguments arguments =
        arguments_for(reference.get_method("forward").function(), method.function(), given);
    const OpenGraph hub = opened(method.graph());
    std::vector<std::string> places;
    std::set<const c10::ClassType*> seen;
    for (const auto& form : {frozen(reference), inlined(reference)}) {
        Graph& pattern = *toGraphFunction(form.get_method("forward").function()).graph();
        const Value* result = find_place(pattern, method.graph().outputs().at(0)->type()).result;
        if (result->node()->kind() == prim::Param || constant_of(result)) continue;
        Matcher matcher(reference, pattern, result);
        seen.clear();
        for (const auto& named : model.named_modules()) {
            if (!seen.insert(named.value.type().get()).second) continue;
            const auto methods = named.value.type()->methods();
            for (Function* function : methods) {
                if (!function->isGraphFunction() || is_original(function->name())) continue;
                auto& graph = *toGraphFunction(*function).graph();
                // All are found before any is replaced: what the kernels write is no change to the model.
                std::vector<std::pair<Value*, Match>> matches;
                find_in(graph.block(), matcher, result,
                        [&](Value* value, const Match& match) { matches.emplace_back(value, match); });
                if (!matches.empty()) keep_original(named.value, function->name());
                std::map<Value*, Value*> replaced;
                for (auto& [value, match] : matches) {
                    for (auto& [of_pattern, bound] : match.values)
                        if (const auto now = replaced.find(bound); now != replaced.end()) bound = now->second;
                    replaced[value] = put_in(graph, match, pattern, value, hub, arguments, reference);
                    places.push_back((named.name.empty() ? "" : named.name + ".") + function->name() + "[" +
                                     std::to_string(places.size()) + "]");
                }
                if (!matches.empty()) EliminateDeadCode(graph.block());
            }
        }
    }
    return places;
}

}  // namespace kernels::torchscript
