// How far a result moves by roundings alone.
#pragma once

#include <torch/script.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace kernels::torchscript {

/// Whether code computes in the dtypes that it names and its tensors have, with other roundings of each step
/// as well, or in float64.
enum class Dtypes { as_named, other_roundings, in_double };

/// The distance of 1 from the next number.
double rounding_of(at::ScalarType dtype);
/// Of the widest steps among the floating arguments; 0 where there are none.
double rounding_of(const std::vector<c10::IValue>& arguments);

/// How far each number in `result` is at most from what each of several tries gives; a try that throws counts
/// for nothing. In the form of `result`, in float64. With `places` whole numbers are places of elements:
/// where a try gives another, the distance is infinite.
c10::IValue movement(const c10::IValue& result, const std::function<c10::IValue(int)>& of_try,
                     bool places = false);

/// Whether code of the module picks elements by their size, as a top-k does.
bool chooses(const torch::jit::Module& module);

/// Of each number in `result`, which `original` gave for the arguments, how far it moves when the arguments
/// change by as much as roundings in their own dtypes do, `rounding` at most for 1, and equal elements come
/// in another order: where an attention's largest score is nearly equal to the second, or a top-k's elements
/// are equal, any kernel may choose the other one. In the form of `result`, see movement(). As `result` it is
/// computed in float64, or in the dtypes that are named: there what draws random numbers draws the same ones
/// each time, and equal elements stay in their order.
c10::IValue sensitivity(const torch::jit::Module& original, const std::string& method,
                        const std::vector<c10::IValue>& arguments, const c10::IValue& result,
                        std::uint64_t seed, Dtypes dtypes, double rounding);

}  // namespace kernels::torchscript
