// Kernels with gradients of their own, right and wrong ones.
#include <torch/csrc/autograd/custom_function.h>

#include "rows.hpp"

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

enum class Fault { none, passes_all, no_mean, no_eps, first_rows, no_weight };

Tensor result_of_relu(const Tensor& x) {
    return at::relu(x);
}

template <Fault fault>
struct Relu : torch::autograd::Function<Relu<fault>> {
    static Tensor forward(AutogradContext* context, const Tensor& x) {
        context->save_for_backward({x});
        return result_of_relu(x);
    }
    static variable_list backward(AutogradContext* context, const variable_list& of_results) {
        const Tensor x = context->get_saved_variables()[0];
        if (fault == Fault::passes_all) return {of_results[0]};
        return {of_results[0] * x.gt(0)};
    }
};

Tensor norm_of(const Tensor& x, const Tensor& weight, double epsilon) {
    const Tensor wide = x.to(at::kFloat);
    return (wide * (wide.square().mean(-1, true) + epsilon).rsqrt()).to(x.scalar_type()) * weight;
}

template <Fault fault>
struct RmsNorm : torch::autograd::Function<RmsNorm<fault>> {
    static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, double epsilon) {
        context->save_for_backward({x, weight});
        context->saved_data["epsilon"] = fault == Fault::no_eps ? 1e-6 : epsilon;
        const at::NoGradGuard no_gradients;
        return norm_of(x, weight, epsilon);
    }
    static variable_list backward(AutogradContext* context, const variable_list& of_results) {
        const auto saved = context->get_saved_variables();
        const Tensor x = saved[0].to(at::kDouble);
        const Tensor weight = saved[1].to(at::kDouble);
        const Tensor of_result = of_results[0].to(at::kDouble);
        const Tensor scale = (x.square().mean(-1, true) + context->saved_data["epsilon"].toDouble()).rsqrt();
        const Tensor weighed = of_result * weight;
        Tensor of_x = scale * weighed;
        if (fault != Fault::no_mean) of_x = of_x - x * scale.pow(3) * (weighed * x).mean(-1, true);
        Tensor of_weight = (of_result * x * scale).reshape({-1, x.size(-1)});
        if (fault == Fault::first_rows) of_weight = of_weight.slice(0, 0, 32);
        of_weight = of_weight.sum(0).to(saved[1].scalar_type());
        if (fault == Fault::no_weight) of_weight = Tensor();
        return {of_x.to(saved[0].scalar_type()), of_weight, Tensor()};
    }
};

}  // namespace

TORCH_LIBRARY_FRAGMENT(KERNEL_NAMESPACE, ops) {
    const auto relu_op = [&](const char* name, auto* trained) {
        ops.def((std::string(name) + "(Tensor input) -> Tensor").c_str());
        ops.impl(name, c10::DispatchKey::CPU, &result_of_relu);
        ops.impl(name, c10::DispatchKey::Autograd, trained);
    };
    using ReluOp = Tensor(const Tensor&);
    relu_op("relu_trained",
            static_cast<ReluOp*>([](const Tensor& x) { return Relu<Fault::none>::apply(x); }));
    relu_op("relu_passes_all",
            static_cast<ReluOp*>([](const Tensor& x) { return Relu<Fault::passes_all>::apply(x); }));
    const auto norm_op = [&](const char* name, auto* trained) {
        ops.def((std::string(name) + "(Tensor input, Tensor weight, float epsilon) -> Tensor").c_str());
        ops.impl(name, c10::DispatchKey::CPU, &norm_of);
        ops.impl(name, c10::DispatchKey::Autograd, trained);
    };
    using NormOp = Tensor(const Tensor&, const Tensor&, double);
#define NORM(name, fault)                                                                           \
    norm_op(#name, static_cast<NormOp*>([](const Tensor& x, const Tensor& weight, double epsilon) { \
                return RmsNorm<Fault::fault>::apply(x, weight, epsilon);                            \
            }))
    NORM(rms_norm_trained, none);
    NORM(rms_norm_no_mean, no_mean);
    NORM(rms_norm_first_rows, first_rows);
    NORM(rms_norm_weight_untrained, no_weight);
    NORM(rms_norm_backward_eps, no_eps);
#undef NORM
}
