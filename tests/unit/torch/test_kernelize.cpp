#include <torch/script.h>

#include "torch_doctest.hpp"

#include "act_model.hpp"
#include "kernels/torch/model.hpp"
#include "kernels/torch/verify.hpp"

using namespace kernels;
using namespace kernels::layer;
using namespace kernels::testing;
using torch::jit::Module;

namespace {

at::Tensor twice(const at::Tensor& x) {
    ++twice_calls;
    return x * 2;
}

void thrice_into(at::Tensor out, const at::Tensor& x) {
    out.copy_(x * 3);
}

}  // namespace

// `twice` is made of torch's operators and so has gradients, `thrice` has none.
TORCH_LIBRARY(kernels_test, ops) {
    ops.def("twice(Tensor x) -> Tensor", &twice);
    ops.def("thrice(Tensor(a!) out, Tensor x) -> ()");
}
TORCH_LIBRARY_IMPL(kernels_test, CPU, ops) {
    ops.impl("thrice", &thrice_into);
}

TEST_CASE("The mapping of the process and one call kernelize a model that has run before") {
    const LocalKernel kernel(twice_source);
    const auto scope = use_kernel_mapping({{"Act", "cpu", kernel.layer("Twice")}}, false);
    auto model = model_with_act();
    CHECK(result(model) == 60);
    CHECK(result(model) == 60);
    CHECK(result(model) == 60);
    twice_calls = 0;
    const auto report = torchscript::kernelize(model, {.mode = Mode::inference});
    CHECK(result(model) == 100);
    CHECK(twice_calls == 1);
    REQUIRE(report.layers.size() == 1);
    const auto& row = report.layers.front();
    CHECK(row.module == "act");
    CHECK(row.layer == "Act");
    CHECK(row.hub_layer == "Twice");
    CHECK(row.variant == "torch-cpu");
    CHECK(row.status == "replaced");
    CHECK(row.mode == "fallback");
    CHECK(report.device == "cpu");
    CHECK(torchscript::count_kernel_calls(model) == std::map<std::string, int>{{"kernels_test::twice", 1}});
}

TEST_CASE("Kernelizing again starts from the original forwards") {
    const LocalKernel kernel(twice_source +
                             "\n\nclass Once(nn.Module):\n    def forward(self, x):\n        return x * 7\n");
    auto model = model_with_act();
    const KernelMapping mapping{
        {"Act", "cpu", {{Mode::inference, kernel.layer("Twice")}, {Mode::training, kernel.layer("Once")}}}};
    CHECK(torchscript::kernelize(model, options_with(mapping)).layers.front().mode == "inference");
    CHECK(result(model) == 100);
    CHECK(torchscript::kernelize(model, options_with(mapping, Mode::training)).layers.front().mode ==
          "training");
    CHECK(result(model) == 350);
    CHECK(torchscript::kernelize(model, options_with({})).layers.empty());
    CHECK(result(model) == 60);
    torchscript::kernelize(model, options_with(mapping));
    CHECK(result(model) == 100);
    CHECK(torchscript::unkernelize(model));
    CHECK(!torchscript::unkernelize(model));
    CHECK(result(model) == 60);
    CHECK(!model.attr("act").toModule().find_method("kernels_original_forward"));
}

TEST_CASE("A saved model keeps its original forwards") {
    const LocalKernel kernel(twice_source);
    const TemporaryFolder folder;
    auto model = model_with_act();
    torchscript::kernelize(model, options_with({{"Act", "cpu", kernel.layer("Twice")}}));
    torchscript::save_model({model, {}}, folder / "model.pt");
    auto loaded = torchscript::load_model(folder / "model.pt").module;
    twice_calls = 0;
    CHECK(result(loaded) == 100);
    CHECK(twice_calls == 1);
    CHECK(torchscript::unkernelize(loaded));
    CHECK(result(loaded) == 60);
    CHECK(twice_calls == 1);
}

TEST_CASE("Methods of a model's own with the names of ours stay") {
    const LocalKernel kernel(twice_source);
    const auto options = options_with({{"Act", "cpu", kernel.layer("Twice")}});
    const std::string own = "def kernels_hub_forward(self, x: int):\n    return x - 1\n";

    auto model = model_with_act();
    model.attr("act").toModule().define(own);
    CHECK(torchscript::kernelize(model, options).layers.front().status == "replaced");
    CHECK(result(model) == 100);
    CHECK(model.attr("act").toModule().run_method("kernels_hub_forward", 5).toInt() == 4);

    auto other = model_with_act();
    other.attr("act").toModule().define("def kernels_original_forward(self, x: Tensor):\n    return x - 1\n");
    const auto row = torchscript::kernelize(other, options).layers.front();
    CHECK(row.status == "kept");
    CHECK(has(row.reason, "the class pkg.Act has a method `kernels_original_forward` of its own"));
    CHECK(result(other) == 60);
    CHECK(!torchscript::unkernelize(other));
    const auto five = torch::full({2}, 5.0);
    CHECK(
        other.attr("act").toModule().run_method("kernels_original_forward", five).toTensor().equal(five - 1));
}

TEST_CASE("An original without its method is an error") {
    auto model = model_with_act();
    model.attr("act").toModule().define("def kernels_original_backward(kernels_self, x):\n    return x\n");
    CHECK(has(message_of([&] { torchscript::unkernelize(model); }),
              "the class pkg.Act keeps the original of a method `backward` that it does not have"));
}

TEST_CASE("A copy that shares its code changes too, so verify does not take it for the original") {
    const LocalKernel kernel(twice_source);
    auto model = model_with_act();
    auto sharing = model.deepcopy();
    auto own = torchscript::with_own_code(model);
    const auto report = torchscript::kernelize(model, options_with({{"Act", "cpu", kernel.layer("Twice")}}));
    CHECK(result(sharing) == 100);
    CHECK(result(own) == 60);
    torchscript::VerifyOptions options;
    options.inputs = {torch::full({2}, 5.0)};
    CHECK_THROWS_WITH_AS(torchscript::verify(sharing, model, report, options),
                         doctest::Contains("shares its code with the kernelized model"), Error);
    // A root of its own changes nothing for the modules in it.
    Module around("__torch__.pkg.Around");
    around.register_module("act", sharing.attr("act").toModule());
    around.define("def forward(self, x):\n    return self.act.forward(x)\n");
    CHECK_THROWS_WITH_AS(torchscript::verify(around, model, report, options),
                         doctest::Contains("shares its code with the kernelized model"), Error);
    CHECK(!torchscript::verify(own, model, report, options).passed());
}

TEST_CASE("A local kernel is named without the detours of its path") {
    const LocalKernel kernel(twice_source);
    const auto folder = kernel.layer("Twice").path();
    const auto detour = folder / ".." / folder.filename() / "build" / "..";
    for (const char* name : {"Twice", "Absent"}) {
        auto model = model_with_act();
        auto options = options_with({{"Act", "cpu", layer::LocalLayerRepository(detour, name)}});
        options.use_fallback = KernelizeFallback::all;
        const auto report = torchscript::kernelize(model, options);
        CHECK(report.layers.at(0).status == (name == std::string("Twice") ? "replaced" : "kept"));
        CHECK(report.layers.at(0).repo.starts_with(std::filesystem::canonical(folder).string()));
    }
}
