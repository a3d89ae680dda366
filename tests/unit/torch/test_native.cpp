#include <torch/torch.h>

#include <atomic>
#include <cstdlib>
#include <sstream>
#include <thread>

// libtorch's logging has a CHECK of its own.
#undef CHECK
#include <doctest/doctest.h>

#include "kernels/core/error.hpp"
#include "kernels/torch/native.hpp"
#include "local_kernel.hpp"

using namespace kernels;
using namespace kernels::layer;
using kernels::testing::LocalKernel;
using native::KernelizeOptions;
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

KernelizeOptions options_with(const KernelMapping& mapping, Mode mode = Mode::inference) {
    KernelizeOptions options;
    options.mapping = mapping;
    options.mode = mode;
    options.target = build::Target::parse("torch=2.13,cpu,cpu=x86_64,os=linux");
    return options;
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

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
        CHECK(contains(disabled.layers.front().reason, "DISABLE_KERNEL_MAPPING"));
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
    CHECK(contains(status["norm"], "which C++ cannot redirect"));
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
        if (row.module == "sequence.0") CHECK(contains(row.reason, "condition"));
    }
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
        {"def forward(self, x: int):\n        return x\n", Mode::inference, "takes a int as argument 1"},
        {"def forward(self, x):\n        return 1\n", Mode::inference, "returns int, this one Tensor"},
        {"def forward(self, *, x):\n        return x\n", Mode::inference, "by keyword only"},
        {"def forward(self, x):\n        return x * self.gain\n", Mode::inference, "gain"},
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
        CHECK(contains(report.layers.front().reason, one.reason));
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

namespace {

const std::string relu_source =
    "class Plus(nn.Module):\n    def forward(self, input):\n        return input + 10\n\n\n"
    "class Minus(nn.Module):\n    def forward(self, input):\n        return input - 10\n";

double first(torch::nn::Sequential& sequence) {
    return sequence->forward(torch::ones({1})).item<double>();
}

template <typename Condition>
native::TypeBinding relu(const std::string& name, Condition condition) {
    return native::replace_kernel_forward_from_hub<torch::nn::ReLUImpl>(name, condition);
}

bool always(const torch::nn::ReLUImpl&) {
    return true;
}

}  // namespace

TEST_CASE("Layers of a type are found again: a second call begins with them as they were") {
    const LocalKernel kernel(relu_source);
    auto options =
        options_with({{"Plus", "cpu", kernel.layer("Plus")}, {"Minus", "cpu", kernel.layer("Minus")}});
    options.device = Device("cpu");
    torch::nn::Sequential sequence{torch::nn::ReLU()};
    native::kernelize(*sequence, options, {relu("Plus", always)});
    CHECK(first(sequence) == 11);
    // Another name.
    auto report = native::kernelize(*sequence, options, {relu("Minus", always)});
    REQUIRE(report.layers.size() == 1);
    CHECK(report.layers.front().layer == "Minus");
    CHECK(first(sequence) == -9);
    // Its condition is asked, of the layer's own type.
    int asked = 0;
    report = native::kernelize(*sequence, options, {relu("Plus", [&](const torch::nn::ReLUImpl& layer) {
        asked += typeid(layer) == typeid(torch::nn::ReLUImpl) ? 1 : 0;
        return false;
    })});
    CHECK(asked == 1);
    CHECK(contains(report.layers.at(0).reason, "condition"));
    CHECK(first(sequence) == 1);
    // Not bound any more.
    native::kernelize(*sequence, options, {relu("Plus", always)});
    CHECK(native::kernelize(*sequence, options).layers.empty());
    CHECK(first(sequence) == 1);
    // What has changed since is kept.
    native::kernelize(*sequence, options, {relu("Plus", always)});
    sequence->eval();
    CHECK(native::unkernelize(*sequence));
    CHECK(!native::unkernelize(*sequence));
    CHECK(!sequence->at<torch::nn::ReLUImpl>(0).is_training());
    CHECK(first(sequence) == 1);
}

TEST_CASE("A condition that throws leaves the model as it was") {
    const LocalKernel kernel(relu_source);
    auto options =
        options_with({{"Plus", "cpu", kernel.layer("Plus")}, {"Minus", "cpu", kernel.layer("Minus")}});
    options.device = Device("cpu");
    torch::nn::Sequential sequence{torch::nn::ReLU(), torch::nn::ReLU()};
    int asked = 0;
    const auto throwing = relu("Minus", [&](const torch::nn::ReLUImpl&) -> bool {
        if (++asked == 2) throw std::runtime_error("no");
        return true;
    });
    CHECK_THROWS_WITH(native::kernelize(*sequence, options, {throwing}), "no");
    CHECK(asked == 2);
    CHECK_NOTHROW(sequence->at<torch::nn::ReLUImpl>(0));
    CHECK(first(sequence) == 1);
    native::kernelize(*sequence, options, {relu("Plus", always)});
    CHECK(first(sequence) == 21);
    asked = 0;
    CHECK_THROWS_WITH(native::kernelize(*sequence, options, {throwing}), "no");
    CHECK(first(sequence) == 21);
    CHECK(native::unkernelize(*sequence));
    CHECK(first(sequence) == 1);
}

TEST_CASE("A layer whose owner cannot be redirected is an error where it must not be kept") {
    const LocalKernel kernel(relu_source);
    struct OwnerImpl : torch::nn::Module {
        torch::nn::ReLU act = register_module("act", torch::nn::ReLU());
    };
    OwnerImpl owner;
    auto options = options_with({{"Plus", "cpu", kernel.layer("Plus")}});
    options.device = Device("cpu");
    const auto report = native::kernelize(owner, options, {relu("Plus", always)});
    CHECK(contains(report.layers.at(0).reason, "which C++ cannot redirect"));
    options.use_fallback = KernelizeFallback::none;
    CHECK_THROWS_WITH_AS(native::kernelize(owner, options, {relu("Plus", always)}),
                         doctest::Contains("act (Plus): no kernel: its owner calls it by its own type"),
                         Error);
    // Without the condition nothing was asked for.
    const auto never = [](const torch::nn::ReLUImpl&) { return false; };
    CHECK(native::kernelize(owner, options, {relu("Plus", never)}).layers.at(0).status == "kept");
}

TEST_CASE("The device to kernelize for") {
    const LocalKernel kernel(relu_source);
    torch::nn::Sequential sequence{torch::nn::ReLU()};
    auto options = options_with({{"Plus", "cpu", kernel.layer("Plus")}});
    options.device = torch::Device("cpu");
    CHECK(native::kernelize(*sequence, options, {relu("Plus", always)}).device == "cpu");
    CHECK(first(sequence) == 11);
    CHECK(native::unkernelize(*sequence));
    CHECK(*torchscript::KernelizeDevice(torch::Device("cuda:1")) == Device("cuda"));
    CHECK_THROWS_WITH_AS(options.device = torch::Device("meta"), "`meta` is no device", Error);
    options.device = Device("cuda", layer::CUDAProperties(75, 90));
    CHECK_THROWS_WITH_AS(native::kernelize(*sequence, options, {relu("Plus", always)}),
                         doctest::Contains("the device cuda[75..90]: properties are for the entries"), Error);
    CHECK(first(sequence) == 1);
}

TEST_CASE("The report is in the order of the module tree, and names what could not be loaded") {
    const LocalKernel kernel(relu_source);
    struct OwnerImpl : torch::nn::Module {
        OwnerImpl() {
            register_module("first", torch::nn::ReLU());
            register_module("second", torch::nn::Sequential(torch::nn::ReLU()));
            register_module("third", torch::nn::ReLU());
        }
    };
    OwnerImpl owner;
    auto options =
        options_with({{"Plus", "cpu", kernel.layer("Plus")}, {"Gone", "cpu", kernel.layer("Absent")}});
    options.device = Device("cpu");
    const auto modules = [](const runtime::Manifest& report) {
        std::vector<std::string> names;
        for (const auto& row : report.layers)
            names.push_back(row.module + " " + row.status);
        return names;
    };
    CHECK(modules(native::kernelize(owner, options, {relu("Plus", always)})) ==
          std::vector<std::string>{"first kept", "second.0 replaced", "third kept"});
    options.use_fallback = KernelizeFallback::all;
    const auto report = native::kernelize(owner, options, {relu("Gone", always)});
    REQUIRE(report.layers.size() == 3);
    for (const auto& row : report.layers) {
        CHECK(row.status == "kept");
        CHECK(row.repo == kernel.layer("Absent").path().string());
        CHECK(row.hub_layer == "Absent");
        CHECK(contains(row.reason, "there is no layer `Absent`"));
    }
}
