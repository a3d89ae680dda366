// Normalizations over the last dimension, or over the last ones that the weight has.
#pragma once

#include <optional>

#include "common.hpp"

namespace {

// 1 / sqrt(mean(x^2) + epsilon)
template <typename Wide, typename T>
Wide inverse_root(const T* x, int64_t width, double epsilon) {
    Wide sum = 0;
    for (int64_t i = 0; i < width; ++i)
        sum += static_cast<Wide>(x[i]) * static_cast<Wide>(x[i]);
    return Wide(1) / std::sqrt(sum / Wide(width) + static_cast<Wide>(epsilon));
}

// out = weight * (input / sqrt(mean(input^2) + epsilon)); the norm is computed in at least float and rounded
// before the weight is applied.
void rms_norm(at::Tensor& out, const at::Tensor& input, const at::Tensor& weight, double epsilon) {
    check_same_shape(out, input, "rms_norm");
    check_weight(weight, input, "weight", "rms_norm");
    const at::Tensor scale = weight.contiguous();
    const int64_t width = scale.numel();
    on_contiguous(out, input, [&](at::Tensor& to, const at::Tensor& from) {
        for_rows(to, from, width, [&]<typename T>(T* target, const T* source, int64_t begin, int64_t end) {
            using Wide = at::opmath_type<T>;
            const T* factor = scale.const_data_ptr<T>();
            for (int64_t row = begin; row < end; ++row) {
                const T* x = source + row * width;
                const Wide scaling = inverse_root<Wide>(x, width, epsilon);
                for (int64_t i = 0; i < width; ++i) {
                    const T normed = static_cast<T>(Wide(x[i]) * scaling);
                    target[row * width + i] = static_cast<T>(Wide(factor[i]) * Wide(normed));
                }
            }
        });
    });
}

// out = (1 + weight) * (input / sqrt(mean(input^2) + epsilon)), all in float whatever the type of input is;
// rounded once.
void gemma_rms_norm(at::Tensor& out, const at::Tensor& input, const at::Tensor& weight, double epsilon) {
    check_same_shape(out, input, "gemma_rms_norm");
    check_weight(weight, input, "weight", "gemma_rms_norm");
    const at::Tensor scale = weight.contiguous();
    const int64_t width = scale.numel();
    on_contiguous(out, input, [&](at::Tensor& to, const at::Tensor& from) {
        for_rows(to, from, width, [&]<typename T>(T* target, const T* source, int64_t begin, int64_t end) {
            const T* factor = scale.const_data_ptr<T>();
            for (int64_t row = begin; row < end; ++row) {
                const T* x = source + row * width;
                const auto scaling = inverse_root<float>(x, width, epsilon);
                for (int64_t i = 0; i < width; ++i) {
                    const float normed = static_cast<float>(x[i]) * scaling;
                    target[row * width + i] = static_cast<T>(normed * (1.0F + static_cast<float>(factor[i])));
                }
            }
        });
    });
}

// out = weight * (input - mean) / sqrt(variance + epsilon) + bias
void layer_norm(at::Tensor& out, const at::Tensor& input, const at::Tensor& weight,
                const std::optional<at::Tensor>& bias, double epsilon) {
    check_same_shape(out, input, "layer_norm");
    check_weight(weight, input, "weight", "layer_norm");
    if (bias) check_weight(*bias, input, "bias", "layer_norm");
    const at::Tensor scale = weight.contiguous();
    const at::Tensor shift = bias ? bias->contiguous() : at::zeros_like(scale);
    const int64_t width = scale.numel();
    TORCH_CHECK(shift.numel() == width, "layer_norm: weight and bias differ in shape");
    on_contiguous(out, input, [&](at::Tensor& to, const at::Tensor& from) {
        for_rows(to, from, width, [&]<typename T>(T* target, const T* source, int64_t begin, int64_t end) {
            using Wide = at::opmath_type<T>;
            const T* factor = scale.const_data_ptr<T>();
            const T* offset = shift.const_data_ptr<T>();
            for (int64_t row = begin; row < end; ++row) {
                const T* x = source + row * width;
                Wide mean = 0;
                for (int64_t i = 0; i < width; ++i)
                    mean += Wide(x[i]);
                mean /= Wide(width);
                Wide variance = 0;
                for (int64_t i = 0; i < width; ++i)
                    variance += (Wide(x[i]) - mean) * (Wide(x[i]) - mean);
                const Wide scaling = Wide(1) / std::sqrt(variance / Wide(width) + static_cast<Wide>(epsilon));
                for (int64_t i = 0; i < width; ++i) {
                    target[row * width + i] =
                        static_cast<T>((Wide(x[i]) - mean) * scaling * Wide(factor[i]) + Wide(offset[i]));
                }
            }
        });
    });
}

}  // namespace
