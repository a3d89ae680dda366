// The CUDA build of the demo's kernels: the same schemas under the CUDA dispatch key, and no device code, so
// that it builds without a CUDA toolkit. Models can be rewritten for it on any machine; calling it says what
// it is.
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <cstdint>
#include <optional>

#include "python_module.hpp"

namespace {

[[noreturn]] void refuse(const char* op) {
    TORCH_CHECK(false, op, ": this CUDA build of the demo has schemas and no device code");
}

void relu(at::Tensor&, const at::Tensor&) {
    refuse("relu");
}

void silu(at::Tensor&, const at::Tensor&) {
    refuse("silu");
}

void silu_and_mul(at::Tensor&, const at::Tensor&) {
    refuse("silu_and_mul");
}

void rms_norm(at::Tensor&, const at::Tensor&, const at::Tensor&, double) {
    refuse("rms_norm");
}

void gelu(at::Tensor&, const at::Tensor&) {
    refuse("gelu");
}

void gelu_tanh(at::Tensor&, const at::Tensor&) {
    refuse("gelu_tanh");
}

void gemma_rms_norm(at::Tensor&, const at::Tensor&, const at::Tensor&, double) {
    refuse("gemma_rms_norm");
}

void layer_norm(at::Tensor&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, double) {
    refuse("layer_norm");
}

int64_t call_count() {
    return 0;
}

}  // namespace

TORCH_LIBRARY(KERNEL_NAMESPACE, ops) {
    ops.def("relu(Tensor! out, Tensor input) -> ()");
    ops.def("silu_and_mul(Tensor! out, Tensor input) -> ()");
    ops.def("gelu(Tensor! out, Tensor input) -> ()");
    ops.def("gelu_tanh(Tensor! out, Tensor input) -> ()");
    ops.def("rms_norm(Tensor! out, Tensor input, Tensor weight, float epsilon) -> ()");
    ops.def("gemma_rms_norm(Tensor! out, Tensor input, Tensor weight, float epsilon) -> ()");
    ops.def("layer_norm(Tensor! out, Tensor input, Tensor weight, Tensor? bias, float epsilon) -> ()");
    ops.def("silu(Tensor! out, Tensor input) -> ()");
    ops.def("call_count() -> int", &call_count);
}

TORCH_LIBRARY_IMPL(KERNEL_NAMESPACE, CUDA, ops) {
    ops.impl("relu", &relu);
    ops.impl("silu_and_mul", &silu_and_mul);
    ops.impl("gelu", &gelu);
    ops.impl("gelu_tanh", &gelu_tanh);
    ops.impl("rms_norm", &rms_norm);
    ops.impl("gemma_rms_norm", &gemma_rms_norm);
    ops.impl("layer_norm", &layer_norm);
    ops.impl("silu", &silu);
}
