// Inputs of other sizes. Which extents depend on each other is found out by running the original.
#pragma once

#include <set>
#include <vector>

#include "input_cases.hpp"

namespace kernels::torchscript {

/// With many_even_sizes no last dimension is made odd.
enum class Amount { one_size, some_sizes, many_even_sizes, many_sizes };

/// Cases in which one extent is another, with all that must change with it: the fewest that the original
/// takes, so that a kernel for which two extents must be equal shows. None for an extent that it takes no
/// other size of, and none that would make an argument or one of these results large.
void add_sizes(const std::vector<c10::IValue>& arguments, const std::vector<c10::IValue>& results,
               const Accepts& accepts, Amount amount, std::vector<InputCase>& cases);

/// Whether twice as much of everything is not too large.
bool may_be_doubled(const std::vector<c10::IValue>& arguments, const std::vector<c10::IValue>& results);

/// Whether the original's result for a resized case may be what its code computes for any size: its extents
/// follow the changed one, or none of the numbers in its code (see numbers_in) can have been made of that
/// extent. Tracing makes numbers of sizes, and such code is right for these only.
bool follows_resize(at::IntArrayRef now, at::IntArrayRef before, const Resize& resize,
                    const std::set<int64_t>& numbers);

/// Whether the code of a module, or of one that is in it, splits sizes: for an odd one halves are of no use
/// to any model, and each code makes its own of them.
bool halves_sizes(const torch::jit::Module& module);

/// The whole numbers in the code of a module and all that are in it.
std::set<int64_t> numbers_in(const torch::jit::Module& module);

}  // namespace kernels::torchscript
