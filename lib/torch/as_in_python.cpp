#include "as_in_python.hpp"

#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/ir/constants.h>

#include <algorithm>
#include <map>
#include <vector>

#include "graph_calls.hpp"
#include "hub_compilation.hpp"
#include "torch_names.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

constexpr int deepest_value = 50;

bool has_tensor(const Value* value) {
    return value->type()->isSubtypeOf(*c10::TensorType::get());
}

// The operator that changes what the computed one makes anew; none of a value that is no tensor or list.
std::optional<Symbol> in_place_form(const Node* computed) {
    static const std::map<Symbol, Symbol> of_tensor{
        {aten::add, aten::add_}, {aten::sub, aten::sub_}, {aten::mul, aten::mul_}, {aten::div, aten::div_}};
    if (computed->inputs().size() < 2) return std::nullopt;
    const bool list = computed->input(0)->type()->kind() == c10::TypeKind::ListType &&
                      (computed->kind() == aten::add || computed->kind() == aten::mul);
    const auto known = of_tensor.find(computed->kind());
    if (known == of_tensor.end() || !(list || has_tensor(computed->input(0)))) return std::nullopt;
    return known->second;
}

// The compiler gives the three steps of the statement its own place.
bool is_augmented(const Node* set) {
    if (set->kind() != aten::_set_item || set->input(0)->type()->kind() != c10::TypeKind::DictType)
        return false;
    const Node* computed = set->input(2)->node();
    if (!in_place_form(computed)) return false;
    const Node* item = computed->input(0)->node();
    return item->kind() == aten::__getitem__ && item->input(0) == set->input(0) &&
           item->input(1) == set->input(1) && item->sourceRange() == set->sourceRange() &&
           computed->sourceRange() == set->sourceRange();
}

// A number that may be a constant when libtorch optimizes, where it is none yet.
bool becomes_constant(const Value* value, int depth = 0) {
    const Node* node = value->node();
    if (depth > deepest_value || has_tensor(value)) return false;
    if (node->kind() == prim::Param) {  // of a loop, which may be unrolled
        const Node* owner = node->owningBlock()->owningNode();
        return owner != nullptr && owner->kind() == prim::Loop;
    }
    if (node->kind() == prim::Loop || node->kind() == prim::Constant || node->kind() == prim::GetAttr)
        return true;
    if (node->kind() == prim::If) {
        const auto blocks = node->blocks();
        return std::any_of(blocks.begin(), blocks.end(), [&](const torch::jit::Block* block) {
            return becomes_constant(block->outputs()[value->offset()], depth + 1);
        });
    }
    const bool length = node->kind() == aten::len;
    return std::all_of(node->inputs().begin(), node->inputs().end(), [&](const Value* input) {
        return (length && input->node()->kind() == prim::ListConstruct) || becomes_constant(input, depth + 1);
    });
}

struct Neutral {
    bool product;  // where 1 is left out; of a sum it is 0

    static std::optional<Neutral> of(const Node* node) {
        static const std::map<std::string, bool> products{
            {"mul", true}, {"multiply", true}, {"add", false}, {"sub", false}, {"subtract", false}};
        const auto known = products.find(node->kind().toUnqualString());
        if (known == products.end() || !node->kind().is_aten() || node->inputs().size() < 2 ||
            !has_tensor(node->input(0)) || has_tensor(node->input(1)))
            return std::nullopt;
        return Neutral{known->second};
    }
};

Value* called(Graph& graph, Node* before, Function& function, const std::vector<Value*>& values) {
    const WithInsertPoint here(before);
    return call_compiled(graph, function, values);
}

// x ** 1 and x + 0 * 2 are the same of each dtype, and nobody leaves them out.
void keep(Graph& graph, Node* node, Neutral neutral, HubCompilation& compilation) {
    Value* number = node->input(1);
    const auto known = toIValue(number);
    const WithInsertPoint here(node);
    if (!known) {
        if (number->type()->kind() != c10::TypeKind::FloatType && becomes_constant(number))
            node->replaceInput(0,
                               called(graph, node, *compilation.functional("hub_numbers"), {node->input(0)}));
        return;
    }
    if (!known->isInt() || known->toInt() != (neutral.product ? 1 : 0)) return;
    if (neutral.product) {
        Value* power = graph.insert(aten::pow, {node->input(0), number}, {}, node->sourceRange());
        node->output()->replaceAllUsesWith(power);
        node->destroy();
        return;
    }
    constexpr std::size_t factor = 2;
    if (node->inputs().size() > factor && node->input(factor)->type()->kind() == c10::TypeKind::IntType)
        node->replaceInput(factor, graph.insertConstant(int64_t{2}, node->sourceRange()));
}

std::vector<Node*> nodes_of(Graph& graph) {
    std::vector<Node*> all;
    for_each_node(graph.block(), [&](Node* node) { all.push_back(node); });
    return all;
}

// In each branch.
bool is_dtype_everywhere(const Value* value, int depth = 0) {
    const Node* node = value->node();
    if (depth > deepest_value) return false;
    if (is_dtype(value)) return node->kind() != prim::layout;
    if (node->kind() == prim::unchecked_cast || node->kind() == aten::_unwrap_optional)
        return is_dtype_everywhere(node->input(0), depth + 1);
    if (node->kind() != prim::If) return false;
    return std::all_of(node->blocks().begin(), node->blocks().end(), [&](const torch::jit::Block* block) {
        return is_dtype_everywhere(block->outputs()[value->offset()], depth + 1);
    });
}

bool is_view_by_dtype(const Node* node) {
    if (node->kind() != aten::view || node->input(1)->node()->kind() != prim::ListConstruct) return false;
    const auto sizes = node->input(1)->node()->inputs();
    return sizes.size() == 1 && is_dtype_everywhere(sizes[0]);
}

}  // namespace

void augment_in_place(Graph& graph) {
    for (const Node* set : nodes_of(graph)) {
        if (!is_augmented(set)) continue;
        Node* computed = set->input(2)->node();
        Value* changed = computed->replaceWithNewSymbol(*in_place_form(computed))->output();
        computed->output()->replaceAllUsesWith(changed);
        computed->destroy();
    }
}

void compute_ones_and_zeros(Graph& graph, HubCompilation& compilation) {
    for (Node* node : nodes_of(graph)) {
        if (const auto neutral = Neutral::of(node)) keep(graph, node, *neutral, compilation);
    }
    inline_functions(graph);
}

void view_by_dtype(Graph& graph, HubCompilation& compilation) {
    std::vector<Node*> views = nodes_of(graph);
    std::erase_if(views, [](const Node* node) { return !is_view_by_dtype(node); });
    if (views.empty()) return;
    const AliasDb aliases(graph.shared_from_this());
    for (const Node* view : views) {
        if (aliases.hasWriters(view->output()))
            refuse(view->sourceRange(), "view with a dtype of a tensor that is changed in place");
    }
    for (Node* view : views) {
        Value* dtype = view->input(1)->node()->input(0);
        view->output()->replaceAllUsesWith(
            called(graph, view, *compilation.functional("hub_view_dtype"), {view->input(0), dtype}));
        view->destroy();
    }
    inline_functions(graph);
}

}  // namespace kernels::torchscript
