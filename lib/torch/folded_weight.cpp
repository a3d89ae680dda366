#include "folded_weight.hpp"

#include <torch/csrc/jit/ir/constants.h>

#include <algorithm>

#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

// The one input that is no constant.
Value* open_input(Node* node) {
    Value* open = nullptr;
    for (Value* input : node->inputs()) {
        if (toIValue(input)) continue;
        if (open != nullptr) return nullptr;
        open = input;
    }
    return open;
}

// A number among the inputs of a node, 0 to be given where it is none.
std::optional<double> number_at(const Node* node, std::size_t index) {
    if (index >= node->inputs().size()) return std::nullopt;
    const auto constant = toIValue(node->input(index));
    if (!constant) return std::nullopt;
    if (constant->isScalar()) return constant->toScalar().toDouble();
    if (constant->isTensor() && constant->toTensor().defined() && constant->toTensor().numel() == 1)
        return constant->toTensor().item<double>();
    return std::nullopt;
}

// What the node was computed from, in float64.
std::optional<at::Tensor> undone(Node* node, const at::Tensor& result) {
    const bool open_first = !toIValue(node->input(0)).has_value();
    const auto other = number_at(node, open_first ? 1 : 0);
    const double alpha = number_at(node, 2).value_or(1);
    if (node->kind() == aten::to) return result;
    if (node->kind() == aten::neg) return -result;
    if (!other) return std::nullopt;
    if (node->kind() == aten::add) return open_first ? result - *other * alpha : (result - *other) / alpha;
    if (node->kind() == aten::sub && open_first) return result + *other * alpha;
    if (node->kind() == aten::mul && *other != 0) return result / *other;
    if (node->kind() == aten::div && open_first) return result * *other;
    return std::nullopt;
}

at::Tensor computed(const FoldedSteps& steps, const at::Tensor& attribute) {
    c10::IValue value = attribute;
    for (Node* node : steps.nodes) {
        Stack stack;
        for (Value* input : node->inputs()) {
            const auto constant = toIValue(input);
            stack.push_back(constant ? *constant : value);
        }
        node->getOperation()(stack);
        value = stack.back();
    }
    return value.toTensor();
}

bool equal_bits(const at::Tensor& one, const at::Tensor& other) {
    return one.scalar_type() == other.scalar_type() && one.sizes() == other.sizes() &&
           same_bytes(one.contiguous(), other.contiguous());
}

}  // namespace

std::optional<FoldedSteps> steps_from_attribute(Value* value,
                                                const std::function<bool(const Value*)>& is_attribute) {
    FoldedSteps steps;
    while (!is_attribute(value)) {
        Node* node = value->node();
        if (node->kind() == prim::Param || !node->kind().is_aten() || node->outputs().size() != 1)
            return std::nullopt;
        steps.nodes.push_back(node);
        value = open_input(node);
        if (value == nullptr) return std::nullopt;
    }
    steps.attribute = value;
    std::reverse(steps.nodes.begin(), steps.nodes.end());
    return steps;
}

std::optional<at::Tensor> unfolded(const FoldedSteps& steps, const at::Tensor& folded,
                                   at::ScalarType likely) {
    if (!folded.is_floating_point()) return std::nullopt;
    const at::NoGradGuard no_gradients;
    std::optional<at::Tensor> attribute = folded.to(at::kDouble);
    for (auto node = steps.nodes.rbegin(); node != steps.nodes.rend() && attribute; ++node)
        attribute = undone(*node, *attribute);
    if (!attribute) return std::nullopt;
    for (const auto dtype : {likely, at::kBFloat16, at::kHalf, at::kFloat, at::kDouble}) {
        const auto candidate = attribute->to(dtype);
        if (equal_bits(computed(steps, candidate), folded)) return candidate;
    }
    return std::nullopt;
}

}  // namespace kernels::torchscript
