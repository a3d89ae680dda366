#include "other_roundings.hpp"

#include <ATen/CPUGeneratorImpl.h>

#include "in_double.hpp"
#include "sensitivity.hpp"

namespace kernels::torchscript {

OtherRoundings::OtherRoundings(std::uint64_t seed) : m_generator(at::detail::createCPUGenerator(seed)) {}

void OtherRoundings::apply(const torch::jit::Node& node, torch::jit::Stack& stack) {
    const auto& returns = node.schema().returns();
    for (std::size_t i = 0; i < returns.size() && i < stack.size(); ++i)
        if (returns[i].alias_info() == nullptr && stack[i].isTensor()) stack[i] = moved(stack[i].toTensor());
}

// Some of the elements by one unit in the last place.
at::Tensor OtherRoundings::moved(const at::Tensor& tensor) {
    constexpr double part = 0.3;
    if (!tensor.defined() || !tensor.device().is_cpu() || !is_narrower_than_double(tensor.scalar_type()) ||
        tensor.layout() != at::kStrided)
        return tensor;
    const bool is_float = tensor.scalar_type() == at::kFloat;
    const auto noise = at::randn(tensor.sizes(), m_generator, tensor.options().dtype(at::kFloat));
    const auto wide = is_float ? at::kDouble : at::kFloat;
    return noise.to(wide)
        .mul_(part * rounding_of(tensor.scalar_type()))
        .add_(1)
        .mul_(tensor.to(wide))
        .to(tensor.scalar_type());
}

}  // namespace kernels::torchscript
