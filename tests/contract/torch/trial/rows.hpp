// What the kernels of the trial share: walking over rows, in every dtype and layout.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <torch/library.h>

#include <type_traits>
#include <vector>

template <typename T>
using Plain = std::remove_cv_t<std::remove_pointer_t<T>>;
template <typename T>
using Wide = at::opmath_type<Plain<T>>;

// Calls row(out, input, width of out) for the rows from `begin` to `end`, those of the last dimension.
template <typename Row>
void some_rows(at::Tensor& out, const at::Tensor& input, int64_t begin, int64_t end, Row row) {
    const at::Tensor dense = input.contiguous();
    const at::Tensor result = out.is_contiguous() ? out : at::empty(out.sizes(), out.options());
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, input.scalar_type(), "trial", [&] {
        const auto* from = dense.const_data_ptr<scalar_t>();
        auto* to = result.mutable_data_ptr<scalar_t>();
        for (int64_t i = begin; i < end; ++i)
            row(to + i * out.size(-1), from + i * input.size(-1), out.size(-1));
    });
    if (!result.is_same(out)) out.copy_(result);
}

inline int64_t rows_of(const at::Tensor& tensor) {
    return tensor.numel() == 0 ? 0 : tensor.numel() / tensor.size(-1);
}

template <typename Row>
void every_row(at::Tensor& out, const at::Tensor& input, Row row) {
    some_rows(out, input, 0, rows_of(input), row);
}

inline std::vector<double> numbers(const at::Tensor& weight) {
    const at::Tensor wide = weight.to(at::kDouble).contiguous();
    return {wide.const_data_ptr<double>(), wide.const_data_ptr<double>() + wide.numel()};
}
