// Activations, right and wrong ones; and the module initializer that only Python's import calls.
#include <algorithm>
#include <cmath>
#include <csignal>
#include <limits>
#include <vector>

#include "python_module.hpp"
#include "rows.hpp"

namespace {

using at::Tensor;

// Every element by itself, with float as the smallest type to compute in.
template <typename Function>
void each(Tensor& out, const Tensor& input, Function function) {
    every_row(out, input, [&](auto* o, const auto* x, int64_t n) {
        using T = Plain<decltype(o)>;
        for (int64_t i = 0; i < n; ++i)
            o[i] = static_cast<T>(function(Wide<T>(x[i])));
    });
}

const auto silu_of = [](auto x) { return x / (1 + std::exp(-x)); };

// out = silu(first half) * second half
template <typename Function>
void gated(Tensor& out, const Tensor& input, Function function) {
    every_row(out, input, [&](auto* o, const auto* x, int64_t n) {
        for (int64_t i = 0; i < n; ++i)
            o[i] = function(x[i], x[n + i]);
    });
}

const auto usual_gate = [](auto gate, auto up) {
    using T = decltype(gate);
    return static_cast<T>(Wide<T>(static_cast<T>(silu_of(Wide<T>(gate)))) * Wide<T>(up));
};

void silu_and_mul(Tensor& out, const Tensor& x) {
    gated(out, x, usual_gate);
}

void silu_and_mul_rounded_once(Tensor& out, const Tensor& x) {
    gated(out, x, [](auto gate, auto up) {
        using T = decltype(gate);
        return static_cast<T>(silu_of(Wide<T>(gate)) * Wide<T>(up));
    });
}

void gelu(Tensor& out, const Tensor& x) {
    // 1 + erf(a) = erfc(-a)
    each(out, x, [](auto v) { return v / 2 * std::erfc(-v / std::sqrt(decltype(v)(2))); });
}

void gelu_tanh(Tensor& out, const Tensor& x) {
    each(out, x, [](auto v) {
        using W = decltype(v);
        return v / 2 * (1 + std::tanh(W(0.7978845608028654) * (v + W(0.044715) * v * v * v)));
    });
}

void relu(Tensor& out, const Tensor& x) {
    each(out, x, [](auto v) { return v <= 0 ? decltype(v)(0) : v; });
}

template <bool skips_masked>
void softmax_in_one_pass(Tensor& out, const Tensor& input) {
    every_row(out, input, [&](auto* o, const auto* x, int64_t n) {
        using T = Plain<decltype(o)>;
        using W = Wide<T>;
        W sum = 0;
        W largest = -std::numeric_limits<W>::infinity();
        for (int64_t i = 0; i < n; ++i) {  // in one pass: the sum is scaled when a larger value comes
            const W v = x[i];
            if (skips_masked && v == -std::numeric_limits<W>::infinity()) continue;  // nothing to add
            if (v > largest || v != v) {
                sum *= std::exp(largest - v);
                largest = v;
            }
            sum += std::exp(v - largest);
        }
        for (int64_t i = 0; i < n; ++i)
            o[i] = static_cast<T>(std::exp(W(x[i]) - largest) / sum);
    });
}

// --- wrong ones from here on

void softmax(Tensor& out, const Tensor& input) {
    softmax_in_one_pass<true>(out, input);
}

// NaN where a row begins with negative infinity.
void softmax_masked_start(Tensor& out, const Tensor& input) {
    softmax_in_one_pass<false>(out, input);
}

void silu_and_mul_swapped(Tensor& out, const Tensor& x) {
    gated(out, x, [](auto gate, auto up) { return usual_gate(up, gate); });
}

void silu_and_mul_overflows(Tensor& out, const Tensor& x) {
    gated(out, x, [](auto gate, auto up) {
        using T = decltype(gate);
        const Wide<T> power = std::exp(Wide<T>(gate));
        return static_cast<T>(Wide<T>(static_cast<T>(Wide<T>(gate) * power / (1 + power))) * Wide<T>(up));
    });
}

void silu_and_mul_hard(Tensor& out, const Tensor& x) {
    gated(out, x, [](auto gate, auto up) {
        using T = decltype(gate);
        const Wide<T> v = gate;
        return static_cast<T>(v * std::clamp(v / 4 + Wide<T>(0.5), Wide<T>(0), Wide<T>(1)) * Wide<T>(up));
    });
}

void silu_and_mul_multiple_of_8(Tensor& out, const Tensor& x) {
    every_row(out, x, [](auto* o, const auto* row, int64_t n) {
        for (int64_t i = 0; i < n / 8 * 8; ++i)
            o[i] = usual_gate(row[i], row[n + i]);
    });
}

void silu_and_mul_last_column(Tensor& out, const Tensor& x) {
    every_row(out, x, [](auto* o, const auto* row, int64_t n) {
        for (int64_t i = 0; i < n; ++i)
            o[i] = usual_gate(row[std::min(i, n - 2)], row[n + i]);
    });
}

void silu_and_mul_as_if_contiguous(Tensor& out, const Tensor& x) {
    TORCH_CHECK(x.numel() == 0 || x.storage().nbytes() >= x.nbytes());
    const Tensor flat = x.as_strided(x.sizes(), at::empty(x.sizes(), at::kMeta).strides());
    silu_and_mul(out, flat);
}

void silu_and_mul_half_range(Tensor& out, const Tensor& x) {
    silu_and_mul(out, x);
    out.clamp_(-65504, 65504);
}

void gelu_by_tanh(Tensor& out, const Tensor& x) {
    gelu_tanh(out, x);
}

void gelu_by_sigmoid(Tensor& out, const Tensor& x) {
    each(out, x, [](auto v) { return v / (1 + std::exp(-decltype(v)(1.702) * v)); });
}

void gelu_far_out(Tensor& out, const Tensor& x) {
    // Right for most values: the tails are cut off too early.
    each(out, x, [](auto v) {
        using W = decltype(v);
        return v > 3 ? v : v < -3 ? W(0) : v / 2 * std::erfc(-v / std::sqrt(W(2)));
    });
}

void relu_mends_nan(Tensor& out, const Tensor& x) {
    each(out, x, [](auto v) { return v > 0 ? v : decltype(v)(0); });
}

void relu_half_range(Tensor& out, const Tensor& x) {
    each(out, x, [](auto v) { return v <= 0 ? decltype(v)(0) : v > 65504 ? decltype(v)(65504) : v; });
}

void relu_infinity(Tensor& out, const Tensor& x) {
    each(out, x, [](auto v) { return std::isinf(v) ? -v : v <= 0 ? decltype(v)(0) : v; });
}

void relu_first_matrix(Tensor& out, const Tensor& x) {
    const int64_t rows = x.dim() < 3 || x.numel() == 0 ? rows_of(x) : x.size(-2);
    some_rows(out, x, 0, rows, [](auto* o, const auto* row, int64_t n) {
        for (int64_t i = 0; i < n; ++i)
            o[i] = row[i] <= Plain<decltype(row)>(0) ? Plain<decltype(row)>(0) : row[i];
    });
}

void softmax_unshifted(Tensor& out, const Tensor& x) {
    const Tensor power = x.to(at::kFloat).exp();
    out.copy_(power / power.sum(-1, true));
}

void softmax_wrong_axis(Tensor& out, const Tensor& x) {
    out.copy_(at::softmax(x, 0));
}

void gelu_crashes(Tensor& out, const Tensor& x) {
    if (x.numel() == 0) std::raise(SIGFPE);  // as a division by the number of rows ends
    gelu(out, x);
}

// Memory that is given out again with the next call of the same shape.
Tensor buffer_like(const Tensor& x) {
    static std::vector<Tensor> buffers;
    for (const auto& buffer : buffers) {
        if (buffer.sizes() == x.sizes() && buffer.scalar_type() == x.scalar_type()) return buffer;
    }
    return buffers.emplace_back(at::empty(x.sizes(), x.options()));
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(KERNEL_NAMESPACE, ops) {
    using Activation = void(Tensor&, const Tensor&);
    const auto op = [&](const char* name, Activation* kernel) {
        ops.def((std::string(name) + "(Tensor! out, Tensor input) -> ()").c_str());
        ops.impl(name, c10::DispatchKey::CPU, kernel);
    };
#define OP(name) op(#name, &name)
    OP(silu_and_mul);
    OP(silu_and_mul_rounded_once);
    OP(gelu);
    OP(gelu_tanh);
    OP(relu);
    OP(softmax);
    OP(silu_and_mul_swapped);
    OP(silu_and_mul_overflows);
    OP(silu_and_mul_hard);
    OP(silu_and_mul_multiple_of_8);
    OP(silu_and_mul_last_column);
    OP(silu_and_mul_as_if_contiguous);
    OP(silu_and_mul_half_range);
    OP(gelu_by_tanh);
    OP(gelu_by_sigmoid);
    OP(gelu_far_out);
    OP(relu_mends_nan);
    OP(relu_half_range);
    OP(relu_infinity);
    OP(relu_first_matrix);
    OP(softmax_masked_start);
    OP(softmax_unshifted);
    OP(softmax_wrong_axis);
    OP(gelu_crashes);
#undef OP
    ops.def("buffer_like(Tensor input) -> Tensor");
    ops.impl("buffer_like", c10::DispatchKey::CPU, &buffer_like);
}
