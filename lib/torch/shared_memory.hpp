// Which tensors share memory.
#pragma once

#include <torch/script.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace kernels::torchscript {

/// Whether the two are in the same memory, in any part of it.
bool share(const at::Tensor& one, const at::Tensor& other);

/// What the results of a call share memory with. The results themselves need not be kept to tell it.
struct SharedMemory {
    std::set<std::pair<std::size_t, std::size_t>> with_arguments;  ///< places of both
    std::set<std::size_t> with_weights;
    std::set<std::pair<std::size_t, std::size_t>> with_each_other;
};

SharedMemory memory_shared_by(const std::vector<at::Tensor>& results,
                              const std::vector<c10::IValue>& arguments, const torch::jit::Module& module);

/// What a replacement's result shares memory with where the original's does not, for people; empty where
/// there is nothing.
std::string fault_of_memory(const SharedMemory& replaced, const SharedMemory& original);

}  // namespace kernels::torchscript
