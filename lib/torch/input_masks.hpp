// Masks among the inputs: what is given is often set everywhere.
#pragma once

#include "input_cases.hpp"

namespace kernels::torchscript {

/// Flags, whether bool or numbers that are 0 and 1 alone.
bool is_flags(const at::Tensor& tensor);

/// Cases of other flags in all such tensors: at random, those of padded rows, and some rows without any. A
/// case counts where the original's result is finite only, as few models compute a row without any. With
/// `some` alone not all of them.
void add_masks(const std::vector<c10::IValue>& arguments, bool some, std::vector<InputCase>& cases);

}  // namespace kernels::torchscript
