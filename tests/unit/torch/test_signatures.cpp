// The parameters of a kernel's forward beside those of the layer, and what is within a replaced layer.
#include <torch/script.h>

#include <cstdlib>
#include <sstream>

#include "torch_doctest.hpp"

#include "act_model.hpp"

using namespace kernels;
using namespace kernels::layer;
using namespace kernels::testing;
using torch::jit::Module;

namespace {

// A model whose child `act`, of these parameters, is called with x, b = 2 * x and a = 3 * x.
Module model_with(const std::string& parameters, const std::string& call) {
    Module act("__torch__.pkg.Act");
    act.define("def forward(self, " + parameters + "):\n    return x * a - b\n");
    Module model("__torch__.pkg.Model");
    model.register_parameter("weight", torch::ones({1}), false);
    model.register_module("act", act);
    model.define("def forward(self, x):\n    return self.act.forward(" + call + ")\n");
    return model;
}

Module saved_and_loaded(const Module& model) {
    std::stringstream file;
    model.save(file);
    return torch::jit::load(file);
}

std::string kernelized(Module& model, const LocalKernel& kernel, std::vector<std::string> arguments = {}) {
    auto options = options_with({{"Act", "cpu", kernel.layer("L")}});
    options.bindings = {torchscript::use_kernel_forward_from_hub("Act", "*Act")};
    options.bindings.front().arguments = std::move(arguments);
    const auto& row = torchscript::kernelize(model, options).layers.at(0);
    return row.status == "replaced" ? row.status : row.reason;
}

LocalKernel kernel_of(const std::string& parameters, const std::string& value) {
    return LocalKernel("class L(nn.Module):\n    def forward(self, " + parameters + "):\n        return " +
                       value + "\n");
}

}  // namespace

TEST_CASE("A kernel with the layer's names in another order is refused: keywords are positions") {
    const auto make = [] { return saved_and_loaded(model_with("x, a, b", "x, b=2 * x, a=3 * x")); };
    auto model = make();
    CHECK(result(model) == 65);
    const auto swapped = kernel_of("x, b, a", "x * a - b + 1000");
    const auto reason = kernelized(model, swapped);
    CHECK(has(reason, "takes x, b, a, this one x, a, b: a is in another place"));
    CHECK(has(reason, "arguments = [ … ]"));
    CHECK(result(model) == 65);
    // Said in the binding, either order is what is meant.
    CHECK(kernelized(model, swapped, {"x", "a", "b"}) == "replaced");
    CHECK(result(model) == 1065);
    CHECK(kernelized(model, swapped, {"x", "b", "a"}) == "replaced");
    CHECK(result(model) == 1000 + 5 * 10 - 15);
    CHECK(has(kernelized(model, kernel_of("a, y, z", "a")), "a is in another place"));
    // Other names are the kernel's own choice.
    CHECK(kernelized(model, kernel_of("input, scale, b", "input * scale - b + 1000")) == "replaced");
    CHECK(result(model) == 1065);
}

TEST_CASE("Parameters by keyword only: the same kinds, also of a model from a file") {
    const auto by_keyword = kernel_of("x, *, a, b", "x * a - b + 1000");
    const auto by_position = kernel_of("x, a, b", "x * a - b + 1000");
    for (const bool from_file : {false, true}) {
        CAPTURE(from_file);
        const auto make = [&](const std::string& parameters) {
            const auto model = model_with(parameters, "x, a=3 * x, b=2 * x");
            return from_file ? saved_and_loaded(model) : model;
        };
        auto model = make("x, *, a, b");
        CHECK(kernelized(model, by_keyword) == "replaced");
        CHECK(result(model) == 1065);
        CHECK(has(kernelized(model, by_position), "takes a by position, this one by keyword only"));
        CHECK(result(model) == 65);
        model = make("x, a, b");
        CHECK(kernelized(model, by_position) == "replaced");
        CHECK(has(kernelized(model, by_keyword), "takes a by keyword only, this one by position"));
    }
}

TEST_CASE("Layers within a replaced one: kernelized where the kernel calls them") {
    const LocalKernel kernel(
        "class Outer(nn.Module):\n    def forward(self, x):\n        return self.act(x) * 1000\n\n\n"
        "class Alone(nn.Module):\n    def forward(self, x):\n        return x * 7\n\n\n"
        "class Inner(nn.Module):\n    def forward(self, x):\n        return x + 2\n");
    auto model = model_with_act();
    auto options =
        options_with({{"Model", "cpu", kernel.layer("Outer")}, {"Act", "cpu", kernel.layer("Inner")}});
    auto report = torchscript::kernelize(model, options);
    REQUIRE(report.layers.size() == 2);
    CHECK(report.layers[0].status == "replaced");
    CHECK(report.layers[1].status == "replaced");
    CHECK(report.layers[1].module == "act");
    CHECK(result(model) == 7000);
    options.mapping =
        KernelMapping{{"Model", "cpu", kernel.layer("Alone")}, {"Act", "cpu", kernel.layer("Inner")}};
    report = torchscript::kernelize(model, options);
    REQUIRE(report.layers.size() == 1);
    CHECK(result(model) == 35);
    CHECK(torchscript::unkernelize(model));
    CHECK(result(model) == 60);
}

TEST_CASE("The machine of another device is asked for only where something is mapped for it") {
    const LocalKernel kernel(twice_source);
    auto model = model_with_act();
    for (const std::string device : {"rocm", "xpu", "npu", "tpu"}) {
        CAPTURE(device);
        auto options = options_with({{"Act", "cpu", kernel.layer("Twice")}});
        options.target.reset();
        options.device = layer::Device(device);
        auto report = torchscript::kernelize(model, options);
        REQUIRE(report.layers.size() == 1);
        CHECK(has(report.layers.front().reason, "no kernel for the device " + device));
        CHECK(report.device == device);
        options.mapping = KernelMapping{{"Act", layer::Device(device), kernel.layer("Twice")}};
        ::setenv("DISABLE_KERNEL_MAPPING", "1", 1);
        report = torchscript::kernelize(model, options);
        ::unsetenv("DISABLE_KERNEL_MAPPING");
        CHECK(has(report.layers.front().reason, "DISABLE_KERNEL_MAPPING"));
        if (device == "tpu") continue;  // its builds have no version
        CHECK(has(message_of([&] { torchscript::kernelize(model, options); }), "is not known"));
        options.mapping =
            KernelMapping{{"Act", layer::Device(device), {{Mode::inference, kernel.layer("Twice")}}}};
        options.mode = Mode::training;
        if (device != "rocm") CHECK(torchscript::kernelize(model, options).layers.front().status == "kept");
        CHECK(result(model) == 60);
    }
}
