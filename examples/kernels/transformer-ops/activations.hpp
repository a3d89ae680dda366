// Activations; each element is computed in at least float.
#pragma once

#include "common.hpp"

namespace {

template <typename Function>
void elementwise(at::Tensor& out, const at::Tensor& input, const char* op, Function function) {
    check_same_shape(out, input, op);
    on_contiguous(out, input, [&](at::Tensor& to, const at::Tensor& from) {
        for_rows(to, from, 1, [&]<typename T>(T* target, const T* source, int64_t begin, int64_t end) {
            using Wide = at::opmath_type<T>;
            for (int64_t i = begin; i < end; ++i)
                target[i] = static_cast<T>(function(static_cast<Wide>(source[i])));
        });
    });
}

void relu(at::Tensor& out, const at::Tensor& input) {
    // NaN stays NaN, as in torch.
    elementwise(out, input, "relu", []<typename Wide>(Wide x) { return x < Wide(0) ? Wide(0) : x; });
}

void gelu(at::Tensor& out, const at::Tensor& input) {
    elementwise(out, input, "gelu", []<typename Wide>(Wide x) {
        return x * Wide(0.5) * (Wide(1) + std::erf(x * Wide(0.70710678118654752440)));
    });
}

// The approximation by the hyperbolic tangent.
void gelu_tanh(at::Tensor& out, const at::Tensor& input) {
    elementwise(out, input, "gelu_tanh", []<typename Wide>(Wide x) {
        const Wide inner = Wide(0.79788456080286535588) * (x + Wide(0.044715) * x * x * x);
        return Wide(0.5) * x * (Wide(1) + std::tanh(inner));
    });
}

#if KERNEL_VERSION >= 2
void silu(at::Tensor& out, const at::Tensor& input) {
    elementwise(out, input, "silu", []<typename Wide>(Wide x) { return x / (Wide(1) + std::exp(-x)); });
}
#endif

// out[..., d] = silu(input[..., :d]) * input[..., d:]
void silu_and_mul(at::Tensor& out, const at::Tensor& input) {
    check_pair(out, input, "silu_and_mul");
    TORCH_CHECK(input.size(-1) % 2 == 0,
                "silu_and_mul: the last dimension of input is odd: ", input.size(-1));
    auto expected = input.sizes().vec();
    expected.back() /= 2;
    TORCH_CHECK(out.sizes() == at::IntArrayRef(expected), "silu_and_mul: out has the shape ", out.sizes(),
                ", expected ", expected);
    on_contiguous(out, input, [](at::Tensor& to, const at::Tensor& from) {
        const int64_t width = to.size(-1);
        for_rows(to, from, width, [&]<typename T>(T* target, const T* source, int64_t begin, int64_t end) {
            using Wide = at::opmath_type<T>;
            for (int64_t row = begin; row < end; ++row) {
                const T* gate = source + row * 2 * width;
                const T* up = gate + width;
                for (int64_t i = 0; i < width; ++i) {
                    const Wide x = gate[i];
                    // Rounded between the two steps, as the unfused expression is.
                    const T activated = static_cast<T>(x / (Wide(1) + std::exp(-x)));
                    target[row * width + i] = static_cast<T>(Wide(activated) * Wide(up[i]));
                }
            }
        });
    });
}

}  // namespace
