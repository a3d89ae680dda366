#include "python_meaning.hpp"

#include <algorithm>
#include <set>
#include <string>

#include "graph_calls.hpp"
#include "torch_names.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

constexpr int deepest = 50;

bool is_implicit(const Node* node) {
    return node->kind() == aten::IntImplicit || node->kind() == aten::FloatImplicit ||
           node->kind() == aten::ScalarImplicit || node->kind() == aten::ComplexImplicit;
}

// Of nodes that stand for one place in the source the first that knows it: some are of functions of
// libtorch's own.
SourceRange known_place(const std::vector<const Node*>& nodes) {
    for (const Node* node : nodes) {
        if (node == nullptr) continue;
        const auto known = node->sourceRange().file_line_col();
        if (known && std::get<0>(*known) != "<string>") return node->sourceRange();
    }
    return nodes.front()->sourceRange();
}

// Operators of numbers; an index, a size or an argument of an op is taken of a tensor by Python too.
bool computes_numbers(const Node* node) {
    static const std::set<std::string> names = {
        "add", "sub",  "mul", "div",   "floordiv", "remainder",   "pow", "max",
        "min", "abs",  "neg", "eq",    "ne",       "lt",          "le",  "gt",
        "ge",  "fmod", "sum", "round", "truediv",  "floor_divide"};
    if (!names.contains(node->kind().toUnqualString()) || node->outputs().empty()) return false;
    switch (node->output(0)->type()->kind()) {
        case c10::TypeKind::IntType:
        case c10::TypeKind::FloatType:
        case c10::TypeKind::BoolType:
        case c10::TypeKind::NumberType:
            return true;
        default:
            return false;
    }
}

void refuse_numbers_of_tensors(const Node* node) {
    const auto computing = [](const std::vector<Use>& uses) -> const Node* {
        const auto found =
            std::find_if(uses.begin(), uses.end(), [](const Use& use) { return computes_numbers(use.user); });
        return found == uses.end() ? nullptr : found->user;
    };
    const auto refuse_in = [&](const Node* user) {
        refuse(known_place({user, node}), "a tensor is taken for a number in " +
                                              std::string(user->kind().toUnqualString()) +
                                              ", and in Python the result is a tensor");
    };
    if (const Node* user = computing(node->output()->uses())) refuse_in(user);
    for (const auto& use : node->output()->uses()) {
        // max(a, b, c) and max(x) go through a list.
        if (use.user->kind() == prim::ListConstruct) {
            if (const Node* user = computing(use.user->output()->uses())) refuse_in(user);
        }
        if (use.user->kind() == prim::Return || use.user->kind() == prim::Loop) {
            refuse(known_place({node, node->input()->node(), use.user->owningBlock()->owningNode()}),
                   "a variable that is a number gets a tensor, and in TorchScript it stays a number");
        }
    }
}

// As far as it can be told: TorchScript's dtypes are whole numbers.
bool may_be_dtype(const Value* value, int depth = 0) {
    const Node* node = value->node();
    if (depth > deepest) return false;
    if (node->kind() == prim::dtype || node->kind() == prim::layout) return true;
    if (node->kind() == prim::unchecked_cast || node->kind() == aten::_unwrap_optional)
        return may_be_dtype(node->input(0), depth + 1);
    if (node->kind() != prim::If) return false;
    return std::any_of(node->blocks().begin(), node->blocks().end(), [&](const torch::jit::Block* block) {
        return may_be_dtype(block->outputs()[value->offset()], depth + 1);
    });
}

// torch.uint8, which is 0.
bool is_dtype_zero(const Value* value) {
    while (value->node()->kind() == prim::unchecked_cast || value->node()->kind() == aten::_unwrap_optional)
        value = value->node()->input(0);
    const auto constant = toIValue(value);
    return is_dtype(value) && constant && constant->isInt() && constant->toInt() == 0;
}

bool makes_text(const Node* node) {
    return node->kind() == aten::str || node->kind() == aten::format || node->kind() == aten::percentFormat;
}

// Whether all that becomes of a text is what people read.
bool is_message(const Value* text, int depth = 0) {
    return depth <= deepest && std::all_of(text->uses().begin(), text->uses().end(), [&](const Use& use) {
               const auto kind = use.user->kind();
               if (kind == prim::RaiseException || kind == aten::warn || kind == prim::Print) return true;
               if (kind == prim::Return && use.user->owningBlock()->owningNode() != nullptr &&
                   use.user->owningBlock()->owningNode()->kind() == prim::If)
                   return is_message(use.user->owningBlock()->owningNode()->output(use.offset), depth + 1);
               return (kind == aten::add || makes_text(use.user)) &&
                      is_message(use.user->output(), depth + 1);
           });
}

void refuse_other_text(const Node* node) {
    for (std::size_t i = node->kind() == aten::str ? 0 : 1; i < node->inputs().size(); ++i) {
        const Value* value = node->input(i);
        const auto kind = value->type()->kind();
        const bool dtype = may_be_dtype(value);
        const bool same = kind == c10::TypeKind::IntType || kind == c10::TypeKind::StringType ||
                          kind == c10::TypeKind::BoolType || kind == c10::TypeKind::NoneType ||
                          kind == c10::TypeKind::DeviceObjType;
        if ((same && !dtype) || is_message(node->output())) continue;
        refuse(node->sourceRange(), "it computes with the text of a " +
                                        (dtype ? std::string("dtype") : value->type()->repr_str()) +
                                        ", which TorchScript writes otherwise than Python");
    }
}

// `device == "cpu"`: the compiler made a device of the text, at the place of the comparison.
void refuse_device_of_text(const Node* node) {
    for (const Value* side : node->inputs()) {
        if (side->node()->kind() == aten::device && side->node()->sourceRange() == node->sourceRange())
            refuse(node->sourceRange(),
                   "a device is compared with a text, and in Python they are never equal");
    }
}

void refuse_mixed_numbers(const Node* node) {
    bool whole = false;
    bool real = false;
    for (const Value* side : node->inputs()) {
        whole = whole || side->type()->kind() == c10::TypeKind::IntType;
        real = real || side->type()->kind() == c10::TypeKind::FloatType;
    }
    if (whole && real) {
        refuse(node->sourceRange(),
               std::string(node->kind().toUnqualString()) +
                   " of a whole number and a float, of which TorchScript makes a float and Python either");
    }
}

// The compiler made a whole number of a bool that meets a tensor, at the place of the op.
void refuse_bools_with_tensors(const Node* node) {
    static const std::set<std::string> harmless = {"eq",           "ne",        "lt",       "le",
                                                   "gt",           "ge",        "fill_",    "masked_fill",
                                                   "masked_fill_", "full_like", "new_full", "index_fill",
                                                   "index_fill_",  "scatter",   "scatter_"};
    for (const Use& use : node->output()->uses()) {
        const Node* op = use.user;
        if (op->outputs().size() != 1 || !op->output()->type()->isSubtypeOf(*c10::TensorType::get()) ||
            op->maybeSchema() == nullptr || harmless.contains(op->kind().toUnqualString()))
            continue;
        const auto wanted = op->schema().arguments().at(use.offset).type();
        const auto optional = wanted->cast<c10::OptionalType>();
        if ((optional ? optional->getElementType() : wanted)->kind() != c10::TypeKind::NumberType) continue;
        const auto dtype =
            op->kind() == aten::full ? op->schema().argumentIndexWithName("dtype") : std::nullopt;
        if (dtype && op->input(static_cast<std::size_t>(*dtype))->type()->kind() != c10::TypeKind::NoneType)
            continue;
        if (op->sourceRange() == node->sourceRange())
            refuse(node->sourceRange(), "a bool meets a tensor in " +
                                            std::string(op->kind().toUnqualString()) +
                                            ", and TorchScript makes a whole number of it");
    }
}

void require_no_bools_with_tensors(const torch::jit::Block& block) {
    for (const Node* node : block.nodes()) {
        for (const torch::jit::Block* inner : node->blocks())
            require_no_bools_with_tensors(*inner);
        if (node->kind() == aten::Int && node->input(0)->type()->kind() == c10::TypeKind::BoolType)
            refuse_bools_with_tensors(node);
    }
}

// x[[True, False]]: the compiler makes whole numbers of them, which choose other rows.
void refuse_index_of_bools(const Node* node) {
    const auto list = node->input(0)->type()->cast<c10::ListType>();
    const auto dtype = toIValue(node->input(1));
    if (!list || list->getElementType()->kind() != c10::TypeKind::BoolType || !dtype || !dtype->isInt())
        return;
    for (const Use& use : node->output()->uses()) {
        if (use.user->kind() != prim::ListConstruct) continue;
        for (const Use& of_list : use.user->output()->uses()) {
            const auto kind = of_list.user->kind();
            if (kind == aten::index || kind == aten::index_put_ || kind == aten::index_put)
                refuse(known_place({node, of_list.user}),
                       "a list of bools as an index, which TorchScript takes for whole numbers");
        }
    }
}

void require(const torch::jit::Block& block) {
    for (const Node* node : block.nodes()) {
        for (const torch::jit::Block* inner : node->blocks())
            require(*inner);
        const auto kind = node->kind();
        if (is_implicit(node)) refuse_numbers_of_tensors(node);
        if (makes_text(node)) refuse_other_text(node);
        if (kind == aten::tensor) refuse_index_of_bools(node);
        if (kind == aten::eq || kind == aten::ne) refuse_device_of_text(node);
        if (kind == prim::max || kind == prim::min) refuse_mixed_numbers(node);
        if (kind == aten::view && node->input(1)->node()->kind() == prim::ListConstruct &&
            std::any_of(node->input(1)->node()->inputs().begin(), node->input(1)->node()->inputs().end(),
                        [](const Value* size) { return is_dtype(size) || may_be_dtype(size); }))
            refuse(node->sourceRange(), "view with a dtype, which TorchScript takes for a size");
        if (kind == aten::Bool && (may_be_dtype(node->input(0)) || is_dtype_zero(node->input(0))))
            refuse(node->sourceRange(), "a dtype is used as a condition");
        if (kind == prim::ListConstruct &&
            node->output()->type()->expect<c10::ListType>()->getElementType()->kind() ==
                c10::TypeKind::UnionType)
            refuse(known_place({node, node->output()->uses().empty() ? nullptr
                                                                     : node->output()->uses().front().user}),
                   "a list of values of different types");
    }
}

}  // namespace

void require_no_bools_with_tensors(const Graph& graph) {
    require_no_bools_with_tensors(*graph.block());
}

void require_python_meaning(const Graph& graph) {
    require(*graph.block());
}

}  // namespace kernels::torchscript
