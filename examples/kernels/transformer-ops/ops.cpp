// Compute kernels for the CPU (version 2 has one more than version 1), registered as published kernels are:
// out-variants with `Tensor! out` schemas in an op namespace of the build's own, and a module initializer
// that only Python's import calls.
#include <torch/library.h>

#include "activations.hpp"
#include "norms.hpp"
#include "python_module.hpp"

namespace {

int64_t call_count() {
    return calls.load();
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
#if KERNEL_VERSION >= 2
    ops.def("silu(Tensor! out, Tensor input) -> ()");
#endif
    ops.def("call_count() -> int", &call_count);
}

TORCH_LIBRARY_IMPL(KERNEL_NAMESPACE, CPU, ops) {
    ops.impl("relu", &relu);
    ops.impl("silu_and_mul", &silu_and_mul);
    ops.impl("gelu", &gelu);
    ops.impl("gelu_tanh", &gelu_tanh);
    ops.impl("rms_norm", &rms_norm);
    ops.impl("gemma_rms_norm", &gemma_rms_norm);
    ops.impl("layer_norm", &layer_norm);
#if KERNEL_VERSION >= 2
    ops.impl("silu", &silu);
#endif
}
