// Compute kernels for the CPU (three in version 1, one more in version 2), registered as published kernels
// are: out-variants with `Tensor! out` schemas in an op namespace of the build's own, and a module
// initializer that only Python's import calls.
#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/Parallel.h>
#include <Python.h>
#include <torch/library.h>

#include <atomic>
#include <cmath>
#include <cstdint>

namespace {

// Calls of the three kernels in this process; what shows that a model really calls them.
std::atomic<int64_t> calls{0};

int64_t call_count() {
    return calls.load();
}

constexpr int64_t grain = 4096;  // elements a thread should have at least

void check_pair(const at::Tensor& out, const at::Tensor& input, const char* op) {
    TORCH_CHECK(input.dim() >= 1, op, ": input must have at least one dimension");
    TORCH_CHECK(out.scalar_type() == input.scalar_type(), op, ": out is ", out.scalar_type(), ", input is ",
                input.scalar_type());
    TORCH_CHECK(out.device() == input.device(), op, ": out is on ", out.device(), ", input on ",
                input.device());
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

void relu(at::Tensor& out, const at::Tensor& input) {
    check_pair(out, input, "relu");
    TORCH_CHECK(out.sizes() == input.sizes(), "relu: out has the shape ", out.sizes(), ", input ",
                input.sizes());
    on_contiguous(out, input, [](at::Tensor& to, const at::Tensor& from) {
        AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, from.scalar_type(), "relu", [&] {
            const auto* source = from.const_data_ptr<scalar_t>();
            auto* target = to.mutable_data_ptr<scalar_t>();
            at::parallel_for(0, from.numel(), grain, [&](int64_t begin, int64_t end) {
                // NaN stays NaN, as in torch.
                for (int64_t i = begin; i < end; ++i)
                    target[i] = source[i] < scalar_t(0) ? scalar_t(0) : source[i];
            });
        });
    });
}

#if KERNEL_VERSION >= 2
void silu(at::Tensor& out, const at::Tensor& input) {
    check_pair(out, input, "silu");
    TORCH_CHECK(out.sizes() == input.sizes(), "silu: out has the shape ", out.sizes(), ", input ",
                input.sizes());
    on_contiguous(out, input, [](at::Tensor& to, const at::Tensor& from) {
        AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, from.scalar_type(), "silu", [&] {
            using Wide = at::opmath_type<scalar_t>;
            const auto* source = from.const_data_ptr<scalar_t>();
            auto* target = to.mutable_data_ptr<scalar_t>();
            at::parallel_for(0, from.numel(), grain, [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) {
                    const Wide x = source[i];
                    target[i] = static_cast<scalar_t>(x / (Wide(1) + std::exp(-x)));
                }
            });
        });
    });
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
        if (to.numel() == 0) return;
        AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, from.scalar_type(), "silu_and_mul", [&] {
            using Wide = at::opmath_type<scalar_t>;
            const auto* source = from.const_data_ptr<scalar_t>();
            auto* target = to.mutable_data_ptr<scalar_t>();
            at::parallel_for(0, to.numel() / width, 1 + grain / width, [&](int64_t begin, int64_t end) {
                for (int64_t row = begin; row < end; ++row) {
                    const auto* gate = source + row * 2 * width;
                    const auto* up = gate + width;
                    for (int64_t i = 0; i < width; ++i) {
                        const Wide x = gate[i];
                        // Rounded between the two steps, as the unfused expression is.
                        const scalar_t activated = static_cast<scalar_t>(x / (Wide(1) + std::exp(-x)));
                        target[row * width + i] = static_cast<scalar_t>(Wide(activated) * Wide(up[i]));
                    }
                }
            });
        });
    });
}

// out = weight * (input / sqrt(mean(input^2) + epsilon)), over the last dimension; the norm is computed in
// float.
void rms_norm(at::Tensor& out, const at::Tensor& input, const at::Tensor& weight, double epsilon) {
    check_pair(out, input, "rms_norm");
    TORCH_CHECK(out.sizes() == input.sizes(), "rms_norm: out has the shape ", out.sizes(), ", input ",
                input.sizes());
    TORCH_CHECK(weight.dim() == 1 && weight.size(0) == input.size(-1), "rms_norm: weight has the shape ",
                weight.sizes(), ", expected [", input.size(-1), "]");
    TORCH_CHECK(weight.scalar_type() == input.scalar_type(), "rms_norm: weight is ", weight.scalar_type(),
                ", input is ", input.scalar_type());
    const at::Tensor scale = weight.contiguous();
    on_contiguous(out, input, [&](at::Tensor& to, const at::Tensor& from) {
        const int64_t width = from.size(-1);
        if (from.numel() == 0) return;
        AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, from.scalar_type(), "rms_norm", [&] {
            using Wide = at::opmath_type<scalar_t>;
            const auto* source = from.const_data_ptr<scalar_t>();
            const auto* factor = scale.const_data_ptr<scalar_t>();
            auto* target = to.mutable_data_ptr<scalar_t>();
            at::parallel_for(0, from.numel() / width, 1 + grain / width, [&](int64_t begin, int64_t end) {
                for (int64_t row = begin; row < end; ++row) {
                    const auto* x = source + row * width;
                    Wide sum = 0;
                    for (int64_t i = 0; i < width; ++i)
                        sum += Wide(x[i]) * Wide(x[i]);
                    const Wide scaling = Wide(1) / std::sqrt(sum / Wide(width) + static_cast<Wide>(epsilon));
                    for (int64_t i = 0; i < width; ++i) {
                        const auto normed = static_cast<scalar_t>(Wide(x[i]) * scaling);
                        target[row * width + i] = static_cast<scalar_t>(Wide(factor[i]) * Wide(normed));
                    }
                }
            });
        });
    });
}

}  // namespace

TORCH_LIBRARY(KERNEL_NAMESPACE, ops) {
    ops.def("relu(Tensor! out, Tensor input) -> ()");
    ops.def("silu_and_mul(Tensor! out, Tensor input) -> ()");
    ops.def("rms_norm(Tensor! out, Tensor input, Tensor weight, float epsilon) -> ()");
#if KERNEL_VERSION >= 2
    ops.def("silu(Tensor! out, Tensor input) -> ()");
#endif
    ops.def("call_count() -> int", &call_count);
}

TORCH_LIBRARY_IMPL(KERNEL_NAMESPACE, CPU, ops) {
    ops.impl("relu", &relu);
    ops.impl("silu_and_mul", &silu_and_mul);
    ops.impl("rms_norm", &rms_norm);
#if KERNEL_VERSION >= 2
    ops.impl("silu", &silu);
#endif
}

#define KERNEL_CONCAT_(a, b) a##b
#define KERNEL_CONCAT(a, b) KERNEL_CONCAT_(a, b)
#define KERNEL_STRING_(a) #a
#define KERNEL_STRING(a) KERNEL_STRING_(a)

// Python imports the library for its registrations; the module itself is empty.
PyMODINIT_FUNC KERNEL_CONCAT(PyInit_, KERNEL_NAMESPACE)() {
    static PyModuleDef module = {PyModuleDef_HEAD_INIT,
                                 KERNEL_STRING(KERNEL_NAMESPACE),
                                 nullptr,
                                 0,
                                 nullptr,
                                 nullptr,
                                 nullptr,
                                 nullptr,
                                 nullptr};
    return PyModule_Create(&module);
}
