// The tensors in a value, wherever they are: in tuples, lists and dictionaries.
#pragma once

#include <torch/script.h>

#include <functional>
#include <vector>

namespace kernels::torchscript {

/// The tensors of the values, in order; undefined ones are left out.
std::vector<at::Tensor> tensors_in(const std::vector<c10::IValue>& values);

/// The tensor as one of which everything is implemented: dense, and of 32 bits where it has 8.
at::Tensor computable(const at::Tensor& tensor);

/// Whether no floating tensor in the value has an infinity or NaN.
bool all_finite(const c10::IValue& value);

/// The value with every defined tensor replaced by what `change` gives for it.
c10::IValue with_tensors(const c10::IValue& value,
                         const std::function<at::Tensor(const at::Tensor&)>& change);
std::vector<c10::IValue> with_tensors(const std::vector<c10::IValue>& values,
                                      const std::function<at::Tensor(const at::Tensor&)>& change);

/// The same, where `change` also gets the tensor's place among those of tensors_in().
std::vector<c10::IValue> with_numbered_tensors(
    const std::vector<c10::IValue>& values,
    const std::function<at::Tensor(const at::Tensor&, std::size_t)>& change);

/// A copy of equal strides and offset, with the bytes between the elements too.
at::Tensor exact_copy(const at::Tensor& tensor);

/// Whether all bytes of the two tensors' storages are equal, those between the elements too.
bool same_bytes(const at::Tensor& one, const at::Tensor& other);

/// Makes a tensor equal to `copy`, which exact_copy made of it before.
void give_bytes(const at::Tensor& tensor, const at::Tensor& copy);

/// The tensors in the parameters, buffers and attributes of a module and all that are in it.
std::vector<at::Tensor> weights_of(const torch::jit::Module& module);

/// A number that is another one, but by chance, when the parameters of the module or of one in it are others.
std::size_t checksum_of_parameters(const torch::jit::Module& module);

/// The bytes of the tensors that are attributes of the module or of one in it.
std::size_t bytes_in(const torch::jit::Module& module);

/// Converts the floating tensors of a module (parameters, buffers, attributes) in place.
void convert(torch::jit::Module& module, at::ScalarType dtype);

}  // namespace kernels::torchscript
