// A kernel library as published ones are, whose operators are registered for every device that kernels exist
// for. It counts the calls of each device, so that a test can tell which one ran.
#include <ATen/Functions.h>
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>

namespace {

std::array<std::atomic<int64_t>, 64> calls{};

int64_t call_count(int64_t device_type) {
    return calls.at(static_cast<std::size_t>(device_type)).load();
}

void count(const at::Tensor& tensor) {
    calls.at(static_cast<std::size_t>(tensor.device().type())).fetch_add(1);
}

void check(const at::Tensor& out, const at::Tensor& input) {
    auto expected = input.sizes().vec();
    expected.back() /= 2;
    TORCH_CHECK(out.sizes() == at::IntArrayRef(expected), "silu_and_mul: out has the shape ", out.sizes(),
                ", expected ", expected);
    TORCH_CHECK(out.device() == input.device(), "silu_and_mul: two devices");
}

// Reads memory directly: for devices whose memory is the host's.
void silu_and_mul(at::Tensor& out, const at::Tensor& input) {
    check(out, input);
    TORCH_CHECK(input.scalar_type() == at::kFloat && input.is_contiguous() && out.is_contiguous());
    count(input);
    const int64_t width = out.size(-1);
    const auto* from = input.const_data_ptr<float>();
    auto* to = out.mutable_data_ptr<float>();
    for (int64_t i = 0; i < out.numel(); ++i) {
        const float gate = from[i / width * 2 * width + i % width];
        to[i] = gate / (1 + std::exp(-gate)) * from[i / width * 2 * width + width + i % width];
    }
}

void silu_and_mul_meta(at::Tensor& out, const at::Tensor& input) {
    check(out, input);
    count(input);
}

at::Tensor relu(const at::Tensor& input, bool) {
    count(input);
    at::Tensor out = at::empty_like(input);
    for (int64_t i = 0; i < input.numel(); ++i) {
        const float x = input.const_data_ptr<float>()[i];
        out.mutable_data_ptr<float>()[i] = x > 0 ? x : 0;
    }
    return out;
}

at::Tensor relu_meta(const at::Tensor& input, bool) {
    count(input);
    return at::empty_like(input);
}

}  // namespace

// The linker keeps the second schema only as the end of the first one's text (where it is aligned as well).
TORCH_LIBRARY_FRAGMENT(KERNEL_NAMESPACE, ops) {
    ops.def("shifted_relu(Tensor input, bool in_place=False) -> Tensor");
    ops.def("relu(Tensor input, bool in_place=False) -> Tensor");
}

TORCH_LIBRARY(KERNEL_NAMESPACE, ops) {
    ops.def("silu_and_mul(Tensor! out, Tensor input) -> ()");
    ops.def("call_count(int device_type) -> int", &call_count);
}

TORCH_LIBRARY_IMPL(KERNEL_NAMESPACE, Meta, ops) {
    ops.impl("silu_and_mul", &silu_and_mul_meta);
    ops.impl("relu", &relu_meta);
}

#define FOR_DEVICE(key)                              \
    TORCH_LIBRARY_IMPL(KERNEL_NAMESPACE, key, ops) { \
        ops.impl("silu_and_mul", &silu_and_mul);     \
        ops.impl("relu", &relu);                     \
    }
FOR_DEVICE(CPU)
FOR_DEVICE(CUDA)  // also what builds for ROCm register: HIP devices carry this key there
FOR_DEVICE(HIP)
FOR_DEVICE(XPU)
FOR_DEVICE(MPS)
FOR_DEVICE(PrivateUse1)
