#include <torch/torch.h>

#include "torch_doctest.hpp"

#include "kernelizing.hpp"
#include "kernels/core/error.hpp"
#include "kernels/torch/native.hpp"

using namespace kernels;
using namespace kernels::layer;
using kernels::testing::has;
using kernels::testing::LocalKernel;
using kernels::testing::options_with;
using torch::Tensor;

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
    CHECK(has(report.layers.at(0).reason, "condition"));
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

TEST_CASE("A condition is asked once for a layer that is held in two places") {
    const LocalKernel kernel(relu_source);
    auto options = options_with({{"Plus", "cpu", kernel.layer("Plus")}});
    options.device = Device("cpu");
    const torch::nn::ReLU shared;
    const torch::nn::Sequential inner(shared);
    torch::nn::ModuleList model;
    for (const auto& held : {inner, inner, torch::nn::Sequential(shared)})
        model->push_back(held);
    for (const bool wanted : {false, true}) {
        int asked = 0;
        const auto report = native::kernelize(*model, options, {relu("Plus", [&](const torch::nn::ReLUImpl&) {
            ++asked;
            return wanted;
        })});
        CHECK(asked == 1);
        REQUIRE(!report.layers.empty());
        CHECK(report.layers.front().status == (wanted ? "replaced" : "kept"));
    }
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
    CHECK(has(report.layers.at(0).reason, "which C++ cannot redirect"));
    options.use_fallback = KernelizeFallback::none;
    CHECK_THROWS_WITH_AS(native::kernelize(owner, options, {relu("Plus", always)}),
                         doctest::Contains("act (Plus): no kernel: its owner calls it by its own type"),
                         Error);
    // It is a case of its own: allowing the others does not allow it.
    options.use_fallback = KernelizeFallback::no_layer | KernelizeFallback::no_device |
                           KernelizeFallback::no_compatible_properties |
                           KernelizeFallback::no_compatible_mode | KernelizeFallback::cannot_load;
    CHECK_THROWS_AS(native::kernelize(owner, options, {relu("Plus", always)}), Error);
    options.use_fallback = KernelizeFallback::not_redirectable;
    CHECK(native::kernelize(owner, options, {relu("Plus", always)}).layers.at(0).status == "kept");
    // Without the condition nothing was asked for.
    const auto never = [](const torch::nn::ReLUImpl&) { return false; };
    CHECK(native::kernelize(owner, options, {relu("Plus", never)}).layers.at(0).status == "kept");
}

TEST_CASE("The model itself may be of a bound type: it is told of, for nothing holds it") {
    const LocalKernel kernel(relu_source);
    auto options = options_with({{"Plus", "cpu", kernel.layer("Plus")}});
    options.device = Device("cpu");
    torch::nn::ReLU root;
    const auto report = native::kernelize(*root, options, {relu("Plus", always)});
    REQUIRE(report.layers.size() == 1);
    CHECK(report.layers.front().module.empty());
    CHECK(report.layers.front().status == "kept");
    CHECK(has(report.layers.front().reason, "cannot redirect"));
    options.use_fallback = KernelizeFallback::none;
    CHECK_THROWS_AS(native::kernelize(*root, options, {relu("Plus", always)}), Error);
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
        CHECK(has(row.reason, "there is no layer `Absent`"));
    }
}

namespace {

struct BoundedReLUImpl : torch::nn::ReLUImpl {
    Tensor forward(const Tensor& x) { return torch::relu(x).clamp_max(bound); }
    double bound = 0.5;
};
TORCH_MODULE(BoundedReLU);
struct LeastReLUImpl : BoundedReLUImpl {};
TORCH_MODULE(LeastReLU);

struct HeldImpl : torch::nn::Module {
    BoundedReLU act = register_module("act", BoundedReLU());
};

}  // namespace

TEST_CASE("A layer of a derived type carries the name of the nearest type that is bound") {
    const LocalKernel kernel(relu_source);
    auto options =
        options_with({{"Plus", "cpu", kernel.layer("Plus")}, {"Minus", "cpu", kernel.layer("Minus")}});
    options.device = Device("cpu");
    const auto bounded = native::replace_kernel_forward_from_hub<BoundedReLUImpl>("Minus");
    torch::nn::Sequential sequence{BoundedReLU()};

    // A ReLU in its place would forget the bound.
    auto report = native::kernelize(*sequence, options, {relu("Plus", always)});
    REQUIRE(report.layers.size() == 1);
    CHECK(report.layers.front().layer == "Plus");
    CHECK(report.layers.front().status == "kept");
    CHECK(has(report.layers.front().reason, "BoundedReLUImpl is derived from the one that is bound"));
    CHECK(first(sequence) == 0.5);
    CHECK(sequence->at<BoundedReLUImpl>(0).bound == 0.5);
    // Its condition is asked all the same.
    report = native::kernelize(*sequence, options,
                               {relu("Plus", [](const torch::nn::ReLUImpl&) { return false; })});
    CHECK(has(report.layers.at(0).reason, "condition"));

    // With a binding of its own it is replaced, in whatever order they stand.
    for (const auto& types : {std::vector{relu("Plus", always), bounded}, {bounded, relu("Plus", always)}}) {
        report = native::kernelize(*sequence, options, types);
        REQUIRE(report.layers.size() == 1);
        CHECK(report.layers.front().layer == "Minus");
        CHECK(report.layers.front().status == "replaced");
        CHECK(first(sequence) == -9);
        torch::nn::Sequential least{LeastReLU()};
        report = native::kernelize(*least, options, types);
        CHECK(report.layers.at(0).layer == "Minus");
        CHECK(report.layers.at(0).status == "kept");
    }

    // As a member, and as the model itself.
    HeldImpl held;
    report = native::kernelize(held, options, {relu("Plus", always)});
    CHECK(has(report.layers.at(0).reason, "its owner calls it by its own type"));
    CHECK(native::kernelize(*held.act, options, {relu("Plus", always)}).layers.size() == 1);

    options.use_fallback = KernelizeFallback::none;
    CHECK_THROWS_WITH_AS(native::kernelize(*sequence, options, {relu("Plus", always)}),
                         doctest::Contains("is derived from the one that is bound"), Error);
    CHECK(first(sequence) == -9);
}

TEST_CASE("An extensible layer carries its own name, whatever its type is derived from") {
    const LocalKernel kernel(relu_source);
    auto options =
        options_with({{"Plus", "cpu", kernel.layer("Plus")}, {"Minus", "cpu", kernel.layer("Minus")}});
    options.device = Device("cpu");
    using Own = native::UseKernelForwardFromHub<torch::nn::ReLUImpl, "Minus">;
    struct OwnerImpl : torch::nn::Module {
        std::shared_ptr<Own> act = register_module("act", std::make_shared<Own>());
    };
    OwnerImpl owner;
    const auto report = native::kernelize(owner, options, {relu("Plus", always)});
    REQUIRE(report.layers.size() == 1);
    CHECK(report.layers.front().layer == "Minus");
    CHECK(owner.act->forward(torch::ones({1})).item<double>() == -9);
    // A class of its own that adds to it keeps the forward that goes to the kernel.
    struct Named : Own {
        std::string text = "more";
    };
    Named named;
    native::kernelize(named, options);
    CHECK(named.forward(torch::ones({1})).item<double>() == -9);
}

TEST_CASE("A kernel that calls a child of a C++ layer cannot be used, and is told to do so") {
    struct PlainOuter : torch::nn::Module {
        torch::nn::ReLU inner = register_module("inner", torch::nn::ReLU());
        Tensor forward(const Tensor& x) { return inner(x) * 2; }
    };
    native::UseKernelForwardFromHub<PlainOuter, "Outer"> layer;
    for (const auto& [value, part] : {std::pair{"self.inner(x)", "it calls inner, a child of the layer"},
                                      std::pair{"x * self.inner.eps", "inner has no attribute eps"}}) {
        const LocalKernel kernel(
            std::string("class L(nn.Module):\n    def forward(self, x):\n        return ") + value + "\n");
        const auto report = native::kernelize(layer, options_with({{"Outer", "cpu", kernel.layer("L")}}));
        REQUIRE(report.layers.size() == 1);
        CAPTURE(report.layers.front().reason);
        CHECK(report.layers.front().status == "kept");
        CHECK(has(report.layers.front().reason, part));
        CHECK(has(report.layers.front().reason, "layers.py:"));
    }
}
