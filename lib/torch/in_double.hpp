// Code and models in float64, to tell what is exact.
#pragma once

#include <torch/script.h>

#include <string>
#include <vector>

namespace kernels::torchscript {

/// Whether it is a floating dtype of 16 or 32 bits.
constexpr bool is_narrower_than_double(at::ScalarType dtype) {
    return dtype == at::kHalf || dtype == at::kBFloat16 || dtype == at::kFloat;
}

/// Whether an operator's argument is a dtype.
bool is_dtype(const c10::Argument& argument);

/// Whether the code of the module, or of one in it, names `dtype` as one to convert to. Tracing writes
/// x.to(y.dtype) so, and such code rounds in any dtype that it is run in.
bool converts_to(const torch::jit::Module& module, at::ScalarType dtype);

/// Whether code of the method, or of what it may call, asks for dtypes: of an interface that is any method.
bool asks_for_dtypes(const torch::jit::Module& module, const std::string& method);

/// The dtype of the floating arguments, or of the weights where there are none.
at::ScalarType dtype_of(const torch::jit::Module& module, const std::vector<c10::IValue>& arguments);

/// The narrowest floating dtype of the values of a call, of the module's weights, and of what its code
/// converts to.
at::ScalarType narrowest_dtype(const torch::jit::Module& module, const std::vector<c10::IValue>& arguments,
                               const c10::IValue& result);

/// A copy of the tensor, in float64 where it is floating.
at::Tensor copy_in_double(const at::Tensor& tensor);

/// A deep copy with its floating tensors in float64. It shares the code, which may name other dtypes: see
/// run_in_double().
torch::jit::Module in_double(const torch::jit::Module& module);

}  // namespace kernels::torchscript
