// What the kernels share: layouts, element types, rows, and the count of calls.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/Parallel.h>

#include <atomic>
#include <cmath>
#include <cstdint>

namespace {

// Calls of the kernels in this process; what shows that a model really calls them.
std::atomic<int64_t> calls{0};

constexpr int64_t grain = 4096;  // elements a thread should have at least

void check_pair(const at::Tensor& out, const at::Tensor& input, const char* op) {
    TORCH_CHECK(input.dim() >= 1, op, ": input must have at least one dimension");
    TORCH_CHECK(at::isFloatingType(input.scalar_type()), op, ": not implemented for ", input.scalar_type());
    TORCH_CHECK(out.scalar_type() == input.scalar_type(), op, ": out is ", out.scalar_type(), ", input is ",
                input.scalar_type());
    TORCH_CHECK(out.device() == input.device(), op, ": out is on ", out.device(), ", input on ",
                input.device());
}

void check_same_shape(const at::Tensor& out, const at::Tensor& input, const char* op) {
    check_pair(out, input, op);
    TORCH_CHECK(out.sizes() == input.sizes(), op, ": out has the shape ", out.sizes(), ", input ",
                input.sizes());
}

void check_weight(const at::Tensor& weight, const at::Tensor& input, const char* what, const char* op) {
    TORCH_CHECK(weight.dim() >= 1 && weight.dim() <= input.dim() &&
                    weight.sizes() == input.sizes().slice(input.dim() - weight.dim()),
                op, ": ", what, " has the shape ", weight.sizes(), ", expected [", input.size(-1), "]");
    TORCH_CHECK(weight.scalar_type() == input.scalar_type(), op, ": ", what, " is ", weight.scalar_type(),
                ", input is ", input.scalar_type());
}

// Runs `compute(out, input)` on contiguous tensors, whatever the layout of the given ones is.
template <typename Compute>
void on_contiguous(at::Tensor& out, const at::Tensor& input, Compute compute) {
    const at::Tensor dense = input.contiguous();
    if (out.is_contiguous() && !out.is_alias_of(dense)) {
        compute(out, dense);
    } else {
        at::Tensor result = at::empty(out.sizes(), out.options());
        compute(result, dense);
        out.copy_(result);
    }
    calls.fetch_add(1);
}

// Calls `compute(target, source, begin, end)` for parts of the rows, with pointers to the first element.
template <typename Compute>
void for_rows(at::Tensor& to, const at::Tensor& from, int64_t width, Compute compute) {
    if (to.numel() == 0) return;
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, from.scalar_type(), "kernel", [&] {
        const auto* source = from.const_data_ptr<scalar_t>();
        auto* target = to.mutable_data_ptr<scalar_t>();
        at::parallel_for(0, to.numel() / width, 1 + grain / width,
                         [&](int64_t begin, int64_t end) { compute(target, source, begin, end); });
    });
}

}  // namespace
