#include <torch/torch.h>

#include <atomic>
#include <cstdlib>
#include <sstream>
#include <thread>

#include "torch_doctest.hpp"

#include "kernelizing.hpp"
#include "kernels/core/error.hpp"
#include "kernels/torch/native.hpp"

using namespace kernels;
using namespace kernels::layer;
using kernels::testing::has;
using kernels::testing::LocalKernel;
using kernels::testing::options_with;
using native::UseKernelForwardFromHub;
using torch::Tensor;

namespace {

std::atomic<int> scale_calls{0};

// An operator with a backward of its own, as kernels with autograd in C++ have.
struct Scale : torch::autograd::Function<Scale> {
    static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, const Tensor& weight) {
        ++scale_calls;
        context->save_for_backward({x, weight});
        const at::AutoDispatchBelowADInplaceOrView guard;
        return x * weight;
    }
    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                   const torch::autograd::variable_list& gradients) {
        const auto saved = context->get_saved_variables();
        return {gradients[0] * saved[1], (gradients[0] * saved[0]).sum(0)};
    }
};

}  // namespace

TORCH_LIBRARY_FRAGMENT(kernels_test, ops) {
    ops.def("scale(Tensor x, Tensor weight) -> Tensor");
}
TORCH_LIBRARY_IMPL(kernels_test, Autograd, ops) {
    ops.impl("scale", [](const Tensor& x, const Tensor& weight) { return Scale::apply(x, weight); });
}

namespace {

// y = x * weight + offset; the kernel's layer computes the same by another operator.
struct PlainScaling : torch::nn::Cloneable<PlainScaling> {
    explicit PlainScaling(int64_t size, double shift = 0.5, bool with_bias = false)
        : offset(shift), m_size(size), m_with_bias(with_bias) {
        PlainScaling::reset();
    }
    void reset() override {
        weight = register_parameter("weight", torch::full({m_size}, 2.0));
        bias = register_parameter("bias", m_with_bias ? torch::ones({m_size}) : Tensor(), m_with_bias);
    }
    Tensor forward(const Tensor& x) {
        ++own_calls;
        return x * weight + offset + (bias.defined() ? bias : torch::zeros({}));
    }
    native::Attributes kernel_attributes() const { return {{"offset", offset}}; }

    Tensor weight, bias;
    double offset;
    int own_calls = 0;

  private:
    int64_t m_size;
    bool m_with_bias;
};
using ScalingImpl = UseKernelForwardFromHub<PlainScaling, "Scaling">;
TORCH_MODULE(Scaling);

const std::string scaling_source =
    "class Scaling(nn.Module):\n"
    "    weight: torch.Tensor\n"
    "    offset: float\n\n"
    "    def forward(self, x: torch.Tensor) -> torch.Tensor:\n"
    "        y = ops.scale(x, self.weight) + self.offset\n"
    "        if self.bias is not None:\n"
    "            y = y + self.bias\n"
    "        return y\n";

Tensor halved(const Tensor& x) {
    return x / 2;
}

struct ModelImpl : torch::nn::Module {
    Scaling scaling = register_module("scaling", Scaling(3));
    torch::nn::LayerNorm norm =
        register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({3})));
    torch::nn::Sequential sequence = register_module(
        "sequence",
        torch::nn::Sequential(torch::nn::LayerNorm(torch::nn::LayerNormOptions({3})), torch::nn::ReLU()));
    native::KernelFunction<Tensor(const Tensor&)> half =
        register_module("half", native::use_kernel_func_from_hub("half", halved));

    Tensor forward(const Tensor& x) { return half(sequence->forward(norm(scaling(x)))); }
};
TORCH_MODULE(Model);

}  // namespace

TEST_CASE("A layer's calls go to the kernel, with its own tensors as self") {
    const LocalKernel kernel(scaling_source);
    const auto mapping = KernelMapping{{"Scaling", "cpu", kernel.layer("Scaling")}};
    Scaling layer(3);
    const auto x = torch::rand({4, 3});
    const auto expected = layer(x);
    CHECK(layer->own_calls == 1);
    const auto report = native::kernelize(*layer, options_with(mapping));
    REQUIRE(report.layers.size() == 1);
    CHECK(report.layers.front().status == "replaced");
    scale_calls = 0;
    CHECK(layer(x).allclose(expected));
    CHECK(layer->own_calls == 1);
    CHECK(scale_calls == 1);

    SUBCASE("What changes afterwards is seen") {
        layer->offset = 1.5;
        CHECK(layer(x).allclose(expected + 1));
        layer->to(torch::kDouble);
        CHECK(layer(x.to(torch::kDouble)).dtype() == torch::kDouble);
        std::stringstream saved;
        Scaling other(3);
        other->to(torch::kDouble);
        {
            const torch::NoGradGuard guard;
            other->weight.fill_(7);
        }
        torch::save(other, saved);
        torch::load(layer, saved);
        CHECK(layer(torch::ones({1, 3}, torch::kDouble))[0][0].item<double>() == doctest::Approx(8.5));
        CHECK(scale_calls == 4);
        CHECK(layer->own_calls == 1);
    }
    SUBCASE("Gradients flow, and optimizer steps are seen") {
        native::kernelize(*layer, options_with(mapping, Mode::training));
        torch::optim::SGD optimizer(layer->parameters(), 0.1);
        layer(torch::ones({4, 3})).sum().backward();
        CHECK(layer->weight.grad().allclose(torch::full({3}, 4.0)));
        optimizer.step();
        CHECK(layer(torch::ones({1, 3}))[0][0].item<double>() == doctest::Approx(2.1));
        CHECK(layer->own_calls == 1);
    }
    SUBCASE("A clone calls the kernel with parameters of its own") {
        const auto clone = std::dynamic_pointer_cast<ScalingImpl>(layer->clone());
        REQUIRE(clone != nullptr);
        {
            const torch::NoGradGuard guard;
            clone->weight.fill_(5);
        }
        CHECK(clone->forward(torch::ones({1, 3}))[0][0].item<double>() == doctest::Approx(5.5));
        CHECK(layer(x).allclose(expected));
        CHECK(scale_calls == 3);
    }
    SUBCASE("The own forward comes back") {
        CHECK(native::unkernelize(*layer));
        CHECK(!native::unkernelize(*layer));
        CHECK(layer(x).allclose(expected));
        CHECK(layer->own_calls == 2);
        native::kernelize(*layer, options_with(mapping));
        native::kernelize(*layer, options_with({}));
        layer(x);
        CHECK(layer->own_calls == 3);
        ::setenv("DISABLE_KERNEL_MAPPING", "1", 1);
        const auto disabled = native::kernelize(*layer, options_with(mapping));
        ::unsetenv("DISABLE_KERNEL_MAPPING");
        CHECK(has(disabled.layers.front().reason, "DISABLE_KERNEL_MAPPING"));
        CHECK(scale_calls == 1);
    }
    SUBCASE("Several threads") {
        std::vector<std::thread> threads;
        std::atomic<int> right{0};
        for (int i = 0; i < 4; ++i) {
            threads.emplace_back([&] {
                const torch::NoGradGuard guard;
                for (int j = 0; j < 20; ++j)
                    right += layer(x).allclose(expected) ? 1 : 0;
            });
        }
        for (auto& thread : threads)
            thread.join();
        CHECK(right == 80);
    }
}

TEST_CASE("A parameter without a tensor is None, and may get one") {
    const LocalKernel kernel(scaling_source);
    Scaling layer(3, 0.5, true);
    native::kernelize(*layer, options_with({{"Scaling", "cpu", kernel.layer("Scaling")}}));
    CHECK(layer(torch::ones({1, 3}))[0][0].item<double>() == doctest::Approx(3.5));
}

TEST_CASE("A model: layers, functions, and elements of Sequential by their type") {
    const LocalKernel kernel(scaling_source +
                                 "\n\nclass Norm(nn.Module):\n    def forward(self, input):\n"
                                 "        return torch.layer_norm(input, self.normalized_shape, self.weight, "
                                 "self.bias, self.eps) * 3\n",
                             "def quarter(x):\n    return x / 4\n");
    const auto mapping = KernelMapping{{"Scaling", "cpu", kernel.layer("Scaling")},
                                       {"LayerNorm", "cpu", kernel.layer("Norm")},
                                       {"half", "cpu", kernel.function("quarter")}};
    const auto attributes = [](const torch::nn::LayerNormImpl& norm) -> native::Attributes {
        return {{"eps", norm.options.eps()}, {"normalized_shape", norm.options.normalized_shape()}};
    };
    Model model;
    const auto x = torch::rand({4, 3});
    const auto expected = model(x);
    const auto names = model->named_parameters().keys();
    auto report = native::kernelize(
        *model, options_with(mapping),
        {native::replace_kernel_forward_from_hub<torch::nn::LayerNormImpl>("LayerNorm", {}, attributes)});
    std::map<std::string, std::string> status;
    for (const auto& row : report.layers)
        status[row.module] = row.status + (row.reason.empty() ? "" : ": " + row.reason);
    CHECK(status["scaling"] == "replaced");
    CHECK(status["half"] == "replaced");
    CHECK(status["sequence.0"] == "replaced");
    CHECK(has(status["norm"], "which C++ cannot redirect"));
    CHECK(status.size() == 4);
    CHECK(model(x).allclose(expected * 3 / 2, 1e-4, 1e-6));
    // It is still a LayerNorm with the parameters that it had.
    CHECK(model->named_parameters().keys() == names);
    CHECK(model->sequence[0]->as<torch::nn::LayerNorm>() != nullptr);
    CHECK_THROWS(model->sequence->at<torch::nn::LayerNormImpl>(0));
    CHECK(native::unkernelize(*model));
    CHECK_NOTHROW(model->sequence->at<torch::nn::LayerNormImpl>(0));
    CHECK(model(x).allclose(expected));

    Model other;
    report = native::kernelize(
        *other, options_with(mapping),
        {native::replace_kernel_forward_from_hub<torch::nn::LayerNormImpl>(
            "LayerNorm", [](const torch::nn::LayerNormImpl& norm) { return norm.options.eps() > 1; },
            attributes)});
    for (const auto& row : report.layers) {
        if (row.module == "sequence.0") CHECK(has(row.reason, "condition"));
    }
}

TEST_CASE("A layer that is held inside a replaced one and elsewhere is replaced for the other place") {
    struct PlainOuter : torch::nn::Module {
        explicit PlainOuter(const Scaling& inner) : held(register_module("inner", inner)) {}
        Tensor forward(const Tensor& x) { return held(x); }
        Scaling held;
    };
    struct Both : torch::nn::Module {
        Scaling shared{3};
        std::shared_ptr<UseKernelForwardFromHub<PlainOuter, "Outer">> outer = register_module(
            "a_outer", std::make_shared<UseKernelForwardFromHub<PlainOuter, "Outer">>(shared));
        Scaling same = register_module("z_same", shared);
        Scaling again = register_module("zz_again", shared);
    };
    const LocalKernel kernel(scaling_source +
                             "\n\nclass Outer(nn.Module):\n    def forward(self, x: torch.Tensor) -> "
                             "torch.Tensor:\n        return x * 7\n");
    Both model;
    const auto report = native::kernelize(model, options_with({{"Scaling", "cpu", kernel.layer("Scaling")},
                                                               {"Outer", "cpu", kernel.layer("Outer")}}));
    REQUIRE(report.layers.size() == 2);
    CHECK(report.layers[0].module == "a_outer");
    CHECK(report.layers[1].module == "z_same");
    CHECK(model.shared->kernelized());
    CHECK(model.outer->forward(torch::ones({3})).equal(torch::full({3}, 7.0)));
    CHECK(native::unkernelize(model));
    CHECK(!model.shared->kernelized());
}

TEST_CASE("What does not fit is kept with the reason, and nothing changes when it must not be") {
    struct Case {
        std::string forward;
        Mode mode;
        std::string reason;
    };
    const std::vector<Case> cases = {
        {"def forward(self, x, y):\n        return x\n", Mode::inference, "takes 2 arguments, this one 1"},
        {"def forward(self, x, y: float = 2.0):\n        return x * y\n", Mode::inference,
         "takes 2 arguments, this one 1"},
        {"def forward(self, x, *, s=2.0):\n        return x * s\n", Mode::inference,
         "takes 2 arguments, this one 1"},
        {"def forward(self, *x):\n        return x[0]\n", Mode::inference,
         "takes any number of arguments (*x)"},
        {"def forward(self, x: int):\n        return x\n", Mode::inference, "takes a int as argument 1"},
        {"def forward(self, x):\n        return 1\n", Mode::inference, "returns int, this one Tensor"},
        {"def forward(self, *, x):\n        return x\n", Mode::inference, "by keyword only"},
        {"def forward(self, x):\n        return x * self.gain\n", Mode::inference,
         "needs the attribute gain, which this layer does not have; declare it in the layer's "
         "kernel_attributes(), or in the attributes that replace_kernel_forward_from_hub is given; it has "
         "training, weight, bias, offset"},
        {"def forward(self, x):\n        return x\n", Mode::inference | Mode::torch_compile, "torch.compile"},
        {"def forward(self, x):\n        out = torch.empty_like(x)\n        ops.thrice(out, x)\n        "
         "return out\n",
         Mode::training, "operator thrice has no gradient"},
    };
    const LocalKernel good(scaling_source);
    const auto good_mapping = KernelMapping{{"Scaling", "cpu", good.layer("Scaling")}};
    for (const auto& one : cases) {
        CAPTURE(one.reason);
        const LocalKernel kernel("class Scaling(nn.Module):\n    " + one.forward);
        const auto mapping = KernelMapping{{"Scaling", "cpu", kernel.layer("Scaling")}};
        Scaling layer(3);
        const auto report = native::kernelize(*layer, options_with(mapping, one.mode));
        CHECK(has(report.layers.front().reason, one.reason));
        layer(torch::ones({1, 3}));
        CHECK(layer->own_calls == 1);
        native::kernelize(*layer, options_with(good_mapping));
        auto strict = options_with(mapping, one.mode);
        strict.use_fallback = false;
        CHECK_THROWS_AS(native::kernelize(*layer, strict), Error);
        layer(torch::ones({1, 3}));  // still the kernel of the call before
        CHECK(layer->own_calls == 1);
    }
}

TEST_CASE("The device of a C++ model") {
    const LocalKernel kernel(scaling_source);
    auto options = options_with({{"Scaling", "cpu", kernel.layer("Scaling")}});
    options.target.reset();  // it tells the device as well
    torch::nn::Sequential none(native::use_kernel_func_from_hub("half", halved));
    CHECK_THROWS_WITH_AS(native::kernelize(*none, options),
                         "the model has no parameters that would tell its device", Error);
    Model mixed;
    mixed->register_parameter("elsewhere", torch::ones({2}, torch::kMeta));
    CHECK_THROWS_AS(native::kernelize(*mixed, options), Error);
}
