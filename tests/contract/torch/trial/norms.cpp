// Norms, right and wrong ones.
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>

#include "rows.hpp"

namespace {

using at::Tensor;

// scale(x, n, epsilon) is what a row is multiplied by, weigh(x, scale, weight) an element of the result.
template <typename Scale, typename Weigh>
void norm(Tensor& out, const Tensor& input, const Tensor& weight, double epsilon, Scale scale, Weigh weigh) {
    const auto w = numbers(weight);
    every_row(out, input, [&](auto* o, const auto* x, int64_t n) {
        const auto s = scale(x, n, epsilon);
        for (int64_t i = 0; i < n; ++i)
            o[i] = weigh(x[i], s, w[static_cast<std::size_t>(i)]);
    });
}

template <typename T>
Wide<T> squares(const T* x, int64_t n) {
    Wide<T> sum = 0;
    for (int64_t i = 0; i < n; ++i)
        sum += Wide<T>(x[i]) * Wide<T>(x[i]);
    return sum;
}

const auto usual_scale = [](const auto* x, int64_t n, double epsilon) {
    using W = Wide<decltype(x)>;
    return W(1) / std::sqrt(squares(x, n) / W(n) + W(epsilon));
};

// Rounded before the weight, as torch does it step by step.
const auto usual_weigh = [](auto x, auto scale, double weight) {
    using T = decltype(x);
    using W = Wide<T>;
    return static_cast<T>(W(weight) * W(static_cast<T>(W(x) * W(scale))));
};

void rms_norm(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    norm(out, x, w, e, usual_scale, usual_weigh);
}

void rms_norm_backwards(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    const auto scale = [](const auto* row, int64_t n, double epsilon) {
        using W = Wide<decltype(row)>;
        W sum = 0;
        for (int64_t i = n - 1; i >= 0; --i)
            sum += W(row[i]) * W(row[i]);
        return W(1) / std::sqrt(sum / W(n) + W(epsilon));
    };
    norm(out, x, w, e, scale, usual_weigh);
}

void rms_norm_in_double(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    const auto scale = [](const auto* row, int64_t n, double epsilon) {
        double sum = 0;
        for (int64_t i = 0; i < n; ++i)
            sum += double(row[i]) * double(row[i]);
        return 1 / std::sqrt(sum / double(n) + epsilon);
    };
    norm(out, x, w, e, scale, usual_weigh);
}

// One rounding where torch has two: more exact.
void rms_norm_rounded_once(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    norm(out, x, w, e, usual_scale, [](auto value, auto scale, double weight) {
        using W = Wide<decltype(value)>;
        return static_cast<decltype(value)>(W(value) * W(scale) * W(weight));
    });
}

void rms_norm_threads(Tensor& out, const Tensor& input, const Tensor& weight, double epsilon) {
    const auto w = numbers(weight);
    at::parallel_for(0, rows_of(input), 16, [&](int64_t begin, int64_t end) {
        some_rows(out, input, begin, end, [&](auto* o, const auto* x, int64_t n) {
            const auto s = usual_scale(x, n, epsilon);
            for (int64_t i = 0; i < n; ++i)
                o[i] = usual_weigh(x[i], s, w[static_cast<std::size_t>(i)]);
        });
    });
}

void rms_norm_contiguous_only(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    TORCH_CHECK(x.is_contiguous() && x.scalar_type() == at::kFloat, "contiguous float tensors only");
    rms_norm(out, x, w, e);
}

// --- wrong ones from here on

void rms_norm_eps_outside(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    const auto scale = [](const auto* row, int64_t n, double epsilon) {
        using W = Wide<decltype(row)>;
        return W(1) / (std::sqrt(squares(row, n) / W(n)) + W(epsilon));
    };
    norm(out, x, w, e, scale, usual_weigh);
}

void rms_norm_padded_width(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    const auto scale = [](const auto* row, int64_t n, double epsilon) {
        using W = Wide<decltype(row)>;
        return W(1) / std::sqrt(squares(row, n) / W((n + 63) / 64 * 64) + W(epsilon));
    };
    norm(out, x, w, e, scale, usual_weigh);
}

void rms_norm_last_column(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    const auto scale = [](const auto* row, int64_t n, double epsilon) {
        using W = Wide<decltype(row)>;
        return W(1) / std::sqrt(squares(row, n - 1) / W(n) + W(epsilon));
    };
    norm(out, x, w, e, scale, usual_weigh);
}

void rms_norm_narrow_sum(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    const auto scale = [](const auto* row, int64_t n, double epsilon) {
        using T = Plain<decltype(row)>;
        T sum(0);
        for (int64_t i = 0; i < n; ++i)
            sum = static_cast<T>(sum + row[i] * row[i]);
        using W = Wide<T>;
        return W(1) / std::sqrt(W(sum) / W(n) + W(epsilon));
    };
    norm(out, x, w, e, scale, usual_weigh);
}

void rms_norm_narrow_scale(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    const auto scale = [](const auto* row, int64_t n, double epsilon) {
        return static_cast<at::BFloat16>(static_cast<float>(usual_scale(row, n, epsilon)));
    };
    norm(out, x, w, e, scale, usual_weigh);
}

void rms_norm_narrow_weight(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    norm(out, x, w, e, usual_scale, [](auto value, auto scale, double weight) {
        return usual_weigh(value, scale, static_cast<float>(at::BFloat16(static_cast<float>(weight))));
    });
}

void rms_norm_no_weight(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    norm(out, x, at::ones_like(w), e, usual_scale, usual_weigh);
}

void rms_norm_clamped(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    norm(out, x, w, e, usual_scale, [](auto value, auto scale, double weight) {
        using T = decltype(value);
        return std::min(std::max(usual_weigh(value, scale, weight), T(-2.5)), T(2.5));
    });
}

void rms_norm_wrong_axis(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    const Tensor wide = x.to(at::kFloat);
    out.copy_((wide * (wide.square().mean(0, true) + e).rsqrt()).to(x.scalar_type()) * w);
}

void rms_norm_first_batch(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    // As if a batch had 32 rows: others are normalized by the 32nd row's scale.
    const auto weights = numbers(w);
    double last = 0;
    int64_t row = 0;
    every_row(out, x, [&](auto* o, const auto* values, int64_t n) {
        if (row++ < 32) last = double(usual_scale(values, n, e));
        for (int64_t i = 0; i < n; ++i)
            o[i] = usual_weigh(values[i], last, weights[static_cast<std::size_t>(i)]);
    });
}

void rms_norm_blocks_of_rows(Tensor& out, const Tensor& input, const Tensor& weight, double epsilon) {
    const auto w = numbers(weight);
    some_rows(out, input, 0, rows_of(input) / 4 * 4, [&](auto* o, const auto* x, int64_t n) {
        const auto s = usual_scale(x, n, epsilon);
        for (int64_t i = 0; i < n; ++i)
            o[i] = usual_weigh(x[i], s, w[static_cast<std::size_t>(i)]);
    });
}

void rms_norm_into_input(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    rms_norm(out, x, w, e);
    Tensor input = x;
    input.copy_(out);
}

void rms_norm_into_weight(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    rms_norm(out, x, w, e);
    Tensor weight = w;
    if (weight.numel() > 0) weight.detach().view(-1)[0].mul_(1.5);
}

void rms_norm_no_rows(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    TORCH_CHECK(x.numel() > 0, "invalid configuration argument");
    rms_norm(out, x, w, e);
}

void rms_norm_remembers(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    // The scale of the first call for a shape is kept, as a stale cache would.
    static std::vector<std::pair<std::vector<int64_t>, Tensor>> known;
    const Tensor wide = x.to(at::kFloat);
    for (const auto& [sizes, scale] : known) {
        if (at::IntArrayRef(sizes) != x.sizes()) continue;
        out.copy_((wide * scale).to(x.scalar_type()) * w);
        return;
    }
    known.emplace_back(x.sizes().vec(), (wide.square().mean(-1, true) + e).rsqrt());
    rms_norm(out, x, w, e);
}

void rms_norm_drifts(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    static int calls = 0;
    rms_norm(out, x, w, e);
    if (++calls % 2 == 0) out.mul_(1.05);
}

void rms_norm_race(Tensor& out, const Tensor& input, const Tensor& weight, double epsilon) {
    static std::atomic<double> scratch;  // all threads use the same one
    const auto w = numbers(weight);
    constexpr int64_t parts = 4;
    std::vector<std::thread> threads;
    for (int64_t part = 0; part < parts; ++part) {
        threads.emplace_back([&, part] {
            const int64_t rows = rows_of(input);
            some_rows(out, input, rows * part / parts, rows * (part + 1) / parts,
                      [&](auto* o, const auto* x, int64_t n) {
                          scratch = double(usual_scale(x, n, epsilon));
                          std::this_thread::yield();
                          for (int64_t i = 0; i < n; ++i)
                              o[i] = usual_weigh(x[i], scratch.load(), w[static_cast<std::size_t>(i)]);
                      });
        });
    }
    for (auto& thread : threads)
        thread.join();
}

void rms_norm_over_the_end(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    rms_norm(out, x, w, e);
    if (out.numel() == 0 || !out.is_contiguous() || out.scalar_type() != at::kFloat) return;
    // One element too far, as a loop with <= goes.
    volatile float* values = out.mutable_data_ptr<float>();
    values[out.numel()] = 1;
}

void rms_norm_reads_on(Tensor& out, const Tensor& input, const Tensor& weight, double epsilon) {
    rms_norm(out, input, weight, epsilon);
    if (out.numel() == 0 || input.scalar_type() != at::kFloat) return;
    // The sum of a last group of columns takes one too many, and does not use it but for its sign.
    const volatile float* values = input.const_data_ptr<float>();
    const float beyond = values[input.numel()];
    if (!(beyond > 0) && !(beyond <= 0)) out.view(-1)[out.numel() - 1].fill_(beyond);
}

// The weight counts from 0: (1 + weight).
void gemma_norm(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    rms_norm_rounded_once(out, x, w.to(at::kFloat) + 1, e);
}

void gemma_norm_rounded_twice(Tensor& out, const Tensor& x, const Tensor& w, double e) {
    rms_norm(out, x, w + 1, e);
}

// residual + input, and its norm.
void add_rms_norm(Tensor& out, Tensor& sum, const Tensor& x, const Tensor& residual, const Tensor& w,
                  double e) {
    sum.copy_(x + residual);
    rms_norm(out, sum, w, e);
}

template <typename Variance>
void layer_norm_with(Tensor& out, const Tensor& input, const Tensor& weight, const Tensor& bias,
                     double epsilon, Variance variance) {
    const auto w = numbers(weight);
    const auto b = numbers(bias);
    every_row(out, input, [&](auto* o, const auto* x, int64_t n) {
        using T = Plain<decltype(o)>;
        using W = Wide<T>;
        W mean = 0;
        for (int64_t i = 0; i < n; ++i)
            mean += W(x[i]) / W(n);
        const W scale = W(1) / std::sqrt(variance(x, n, mean) + W(epsilon));
        for (int64_t i = 0; i < n; ++i) {
            const auto at = static_cast<std::size_t>(i);
            o[i] = static_cast<T>((W(x[i]) - mean) * scale * W(w[at]) + W(b[at]));
        }
    });
}

template <int missing>
auto variance_of = [](const auto* x, int64_t n, auto mean) {
    decltype(mean) sum = 0;
    for (int64_t i = 0; i < n; ++i)
        sum += (decltype(mean)(x[i]) - mean) * (decltype(mean)(x[i]) - mean);
    return sum / decltype(mean)(n - missing);
};

void layer_norm(Tensor& out, const Tensor& x, const Tensor& w, const Tensor& b, double e) {
    layer_norm_with(out, x, w, b, e, variance_of<0>);
}

// Welford's: mean and variance in one pass.
void layer_norm_one_pass(Tensor& out, const Tensor& x, const Tensor& w, const Tensor& b, double e) {
    layer_norm_with(out, x, w, b, e, [](const auto* row, int64_t n, auto) {
        using W = Wide<decltype(row)>;
        W mean = 0;
        W sum = 0;
        for (int64_t i = 0; i < n; ++i) {
            const W delta = W(row[i]) - mean;
            mean += delta / W(i + 1);
            sum += delta * (W(row[i]) - mean);
        }
        return sum / W(n);
    });
}

void layer_norm_unbiased(Tensor& out, const Tensor& x, const Tensor& w, const Tensor& b, double e) {
    layer_norm_with(out, x, w, b, e, variance_of<1>);
}

// The mean of squares less the square of the mean: cancels where the mean is far from 0.
void layer_norm_cancels(Tensor& out, const Tensor& x, const Tensor& w, const Tensor& b, double e) {
    layer_norm_with(out, x, w, b, e, [](const auto* row, int64_t n, auto mean) {
        return squares(row, n) / decltype(mean)(n) - mean * mean;
    });
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(KERNEL_NAMESPACE, ops) {
    using Norm = void(Tensor&, const Tensor&, const Tensor&, double);
    const auto norm_op = [&](const char* name, Norm* kernel) {
        ops.def(
            (std::string(name) + "(Tensor! out, Tensor input, Tensor weight, float epsilon) -> ()").c_str());
        ops.impl(name, c10::DispatchKey::CPU, kernel);
    };
#define NORM(name) norm_op(#name, &name)
    NORM(rms_norm);
    NORM(rms_norm_backwards);
    NORM(rms_norm_in_double);
    NORM(rms_norm_rounded_once);
    NORM(rms_norm_threads);
    NORM(rms_norm_contiguous_only);
    NORM(rms_norm_eps_outside);
    NORM(rms_norm_padded_width);
    NORM(rms_norm_last_column);
    NORM(rms_norm_narrow_sum);
    NORM(rms_norm_narrow_scale);
    NORM(rms_norm_narrow_weight);
    NORM(rms_norm_no_weight);
    NORM(rms_norm_clamped);
    NORM(rms_norm_wrong_axis);
    NORM(rms_norm_first_batch);
    NORM(rms_norm_blocks_of_rows);
    NORM(rms_norm_into_input);
    NORM(rms_norm_into_weight);
    NORM(rms_norm_no_rows);
    NORM(rms_norm_remembers);
    NORM(rms_norm_drifts);
    NORM(rms_norm_race);
    NORM(rms_norm_over_the_end);
    NORM(rms_norm_reads_on);
    NORM(gemma_norm);
    NORM(gemma_norm_rounded_twice);
#undef NORM
    ops.def(
        "add_rms_norm(Tensor! out, Tensor! sum, Tensor input, Tensor residual, Tensor weight, float epsilon) "
        "-> ()");
    ops.impl("add_rms_norm", c10::DispatchKey::CPU, &add_rms_norm);
    using LayerNorm = void(Tensor&, const Tensor&, const Tensor&, const Tensor&, double);
    const auto layer_norm_op = [&](const char* name, LayerNorm* kernel) {
        ops.def((std::string(name) +
                 "(Tensor! out, Tensor input, Tensor weight, Tensor bias, float epsilon) -> ()")
                    .c_str());
        ops.impl(name, c10::DispatchKey::CPU, kernel);
    };
    layer_norm_op("layer_norm", &layer_norm);
    layer_norm_op("layer_norm_one_pass", &layer_norm_one_pass);
    layer_norm_op("layer_norm_unbiased", &layer_norm_unbiased);
    layer_norm_op("layer_norm_cancels", &layer_norm_cancels);
}
