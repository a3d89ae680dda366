// Whole numbers among the inputs: indices, positions, counts. Which of them the original takes is found out
// by running it.
#pragma once

#include <torch/script.h>

#include <functional>
#include <optional>
#include <set>
#include <vector>

#include "input_cases.hpp"

namespace kernels::torchscript {

/// int32 and int64, which indices are; with at least one element.
bool is_whole(const at::Tensor& tensor);

/// The numbers of rows of all matrices of the module, those too that freezing made constants of: an index
/// into one of them is below it.
std::set<int64_t> row_counts(const torch::jit::Module& module);

/// The largest number that `takes` accepts, which accepts `known`; nothing where there is no end to them.
/// Ends that are one of `rows` are found by few tries, and others too if `thorough`.
std::optional<int64_t> largest_taken(const std::function<bool(int64_t)>& takes, int64_t known,
                                     const std::set<int64_t>& rows, bool thorough);

/// A tensor like this one with numbers from `least` to `most`, both of them among those where there is room.
at::Tensor spread(const at::Tensor& like, int64_t least, int64_t most);

/// Whole numbers from 0 to the largest that the original takes, larger than those given and negative ones, of
/// all tensors and of each alone, where the original takes them; and those that are in its code, which may
/// ask for them, as for the label that a loss ignores.
void add_whole_numbers(const std::vector<c10::IValue>& arguments, const Accepts& accepts,
                       const std::set<int64_t>& rows, const std::set<int64_t>& of_code,
                       std::vector<InputCase>& cases);

}  // namespace kernels::torchscript
