#include "canonical_step.hpp"

#include <torch/csrc/jit/ir/constants.h>

#include <set>
#include <string>

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

Role role_of(const std::string& argument) {
    static const std::set<std::string> dimensions{"dim", "dims", "dim0", "dim1", "start_dim", "end_dim"};
    if (dimensions.contains(argument)) return Role::dimension;
    return argument == "dtype" ? Role::dtype : Role::plain;
}

bool is_default(Value* value) {
    const auto constant = toIValue(value);
    return constant && (constant->isNone() || (constant->isBool() && !constant->toBool()));
}

// x.to(dtype) in all of its forms, where nothing else is asked of it.
std::optional<Step> conversion(Node* node) {
    const auto* schema = node->maybeSchema();
    if (node->kind() != aten::to || schema == nullptr) return std::nullopt;
    Value* dtype = nullptr;
    for (std::size_t i = 1; i < node->inputs().size(); ++i) {
        if (schema->arguments().at(i).name() == "dtype") {
            dtype = node->input(i);
        } else if (!is_default(node->input(i))) {
            return std::nullopt;
        }
    }
    if (dtype == nullptr) return std::nullopt;
    return Step{aten::to, {{node->input(0)}, {dtype, Role::dtype}}, {node}, 0};
}

}  // namespace

Value* without_conversions(Value* value, std::vector<Node*>* conversions) {
    static const std::set<c10::Symbol> kinds{prim::NumToTensor, aten::Int,           aten::Float,
                                             aten::IntImplicit, aten::FloatImplicit, aten::ScalarImplicit};
    while (kinds.contains(value->node()->kind()) && value->node()->inputs().size() == 1) {
        // Text is converted by the same operators.
        if (value->node()->input()->type()->kind() == c10::TypeKind::StringType) break;
        if (conversions != nullptr) conversions->push_back(value->node());
        value = value->node()->input();
    }
    return value;
}

Step step_of(Value* value) {
    static const auto size_of_dimension = c10::Symbol::fromQualString("kernels::size");
    Node* node = value->node();
    const auto inputs = node->inputs();
    if (node->kind() == aten::size && inputs.size() == 2)
        return {size_of_dimension, {{inputs[0]}, {inputs[1], Role::dimension}}, {node}, 0};
    if (node->kind() == aten::__getitem__ && inputs[0]->node()->kind() == aten::size &&
        inputs[0]->node()->inputs().size() == 1) {
        Node* size = inputs[0]->node();
        return {size_of_dimension, {{size->input()}, {inputs[1], Role::dimension}}, {node, size}, 0};
    }
    if (node->kind() == aten::floor_divide || node->kind() == aten::floordiv)
        return {aten::floordiv, {{inputs[0]}, {inputs[1]}}, {node}, 0};
    if (node->kind() == aten::slice && inputs.size() == 5)
        return {aten::slice,
                {{inputs[0]},
                 {inputs[1], Role::dimension},
                 {inputs[2], Role::begin},
                 {inputs[3], Role::end},
                 {inputs[4]}},
                {node},
                0};
    if (auto step = conversion(node)) return *std::move(step);
    Step step{node->kind(), {}, {node}, value->offset()};
    const auto* schema = node->kind().is_aten() ? node->maybeSchema() : nullptr;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        const bool known = schema != nullptr && i < schema->arguments().size();
        step.operands.push_back({inputs[i], known ? role_of(schema->arguments()[i].name()) : Role::plain});
    }
    return step;
}

}  // namespace kernels::torchscript
