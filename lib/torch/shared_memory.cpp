#include "shared_memory.hpp"

#include <algorithm>

#include "tensors_in.hpp"

namespace kernels::torchscript {

bool share(const at::Tensor& one, const at::Tensor& other) {
    return one.numel() > 0 && other.numel() > 0 && one.has_storage() && other.has_storage() &&
           one.is_alias_of(other);
}

SharedMemory memory_shared_by(const std::vector<at::Tensor>& results,
                              const std::vector<c10::IValue>& arguments, const torch::jit::Module& module) {
    const auto inputs = tensors_in(arguments);
    const auto weights = weights_of(module);
    SharedMemory shared;
    for (std::size_t i = 0; i < results.size(); ++i) {
        for (std::size_t j = 0; j < inputs.size(); ++j)
            if (share(results[i], inputs[j])) shared.with_arguments.emplace(i, j);
        if (std::any_of(weights.begin(), weights.end(),
                        [&](const at::Tensor& weight) { return share(results[i], weight); }))
            shared.with_weights.insert(i);
        for (std::size_t j = 0; j < i; ++j)
            if (share(results[i], results[j])) shared.with_each_other.emplace(i, j);
    }
    return shared;
}

std::string fault_of_memory(const SharedMemory& replaced, const SharedMemory& original) {
    for (const auto& both : replaced.with_arguments)
        if (!original.with_arguments.contains(both))
            return "its result shares memory with its argument " + std::to_string(both.second + 1);
    for (const auto result : replaced.with_weights)
        if (!original.with_weights.contains(result)) return "its result shares memory with a weight";
    for (const auto& both : replaced.with_each_other)
        if (!original.with_each_other.contains(both)) return "its results share memory with each other";
    return {};
}

}  // namespace kernels::torchscript
