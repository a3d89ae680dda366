#include <torch/script.h>

#include <atomic>
#include <cstdlib>

// libtorch's logging has a CHECK of its own.
#undef CHECK
#include <doctest/doctest.h>

#include "kernelizing.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/log.hpp"
#include "kernels/torch/kernelize.hpp"
#include "kernels/torch/model.hpp"
#include "kernels/torch/verify.hpp"

using namespace kernels;
using namespace kernels::layer;
using kernels::testing::contains;
using kernels::testing::LocalKernel;
using kernels::testing::options_with;
using kernels::testing::TemporaryFolder;
using torch::jit::Module;

namespace {

std::atomic<int> twice_calls{0};

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

namespace {

const std::string twice_source =
    "class Twice(nn.Module):\n"
    "    can_torch_compile = True\n\n"
    "    def forward(self, x: torch.Tensor) -> torch.Tensor:\n"
    "        return ops.twice(x)\n";

// A model whose child `act` adds 1.
Module model_with_act(const std::string& forward = "def forward(self, x):\n    return x + 1\n") {
    Module act("__torch__.pkg.Act");
    act.register_parameter("weight", torch::ones({2}), false);
    act.define(forward);
    Module model("__torch__.pkg.Model");
    model.register_module("act", act);
    model.define("def forward(self, x):\n    return self.act.forward(x) * 10\n");
    return model;
}

double result(Module& model) {
    return model.forward({torch::full({2}, 5.0)}).toTensor()[0].item<double>();
}

// The message of the error; empty when there was none.
template <typename Call>
std::string error_of(Call call) {
    try {
        call();
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

}  // namespace

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
    CHECK(contains(row.reason, "the class pkg.Act has a method `kernels_original_forward` of its own"));
    CHECK(result(other) == 60);
    CHECK(!torchscript::unkernelize(other));
    const auto five = torch::full({2}, 5.0);
    CHECK(
        other.attr("act").toModule().run_method("kernels_original_forward", five).toTensor().equal(five - 1));
}

TEST_CASE("An original without its method is an error") {
    auto model = model_with_act();
    model.attr("act").toModule().define("def kernels_original_backward(kernels_self, x):\n    return x\n");
    CHECK(contains(error_of([&] { torchscript::unkernelize(model); }),
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

TEST_CASE("What use_fallback covers") {
    const LocalKernel kernel(twice_source);
    const LocalKernel broken(
        "class Twice(nn.Module):\n    size = 3\n    def forward(self, x):\n        return x\n");
    struct Case {
        const char* what;
        KernelMapping mapping;
        Mode mode;
        bool by_default;
        std::string reason;
    };
    const Repository gone = LocalLayerRepository("/nonexistent/kernel", "Twice");
    const std::vector<Case> cases = {
        {"no layer", {{"Other", "cpu", kernel.layer("Twice")}}, Mode::inference, true, "Act"},
        {"no device", {{"Act", "cuda", kernel.layer("Twice")}}, Mode::inference, true, "cpu"},
        {"no mode",
         {{"Act", "cpu", {{Mode::inference, kernel.layer("Twice")}}}},
         Mode::training,
         true,
         "training"},
        {"flags",
         {{"Act", "cpu", broken.layer("Twice")}},
         Mode::inference | Mode::torch_compile,
         true,
         "further member size"},
        {"no folder", {{"Act", "cpu", gone}}, Mode::inference, false, "/nonexistent/kernel"},
        {"no such layer", {{"Act", "cpu", kernel.layer("Twise")}}, Mode::inference, false, "Twise"},
    };
    for (const auto& one : cases) {
        CAPTURE(one.what);
        auto model = model_with_act();
        auto options = options_with(one.mapping, one.mode);
        options.bindings = {torchscript::use_kernel_forward_from_hub("Act", "pkg.Act")};
        options.use_fallback = KernelizeFallback::none;
        const auto refused = error_of([&] { torchscript::kernelize(model, options); });
        CHECK(contains(refused, "act (Act): "));
        CHECK(contains(refused, one.reason));
        CHECK(result(model) == 60);
        options.use_fallback = KernelizeFallback::standard;
        CHECK((error_of([&] { torchscript::kernelize(model, options); }) == "") == one.by_default);
        options.use_fallback = KernelizeFallback::all;
        const auto report = torchscript::kernelize(model, options);
        REQUIRE(report.layers.size() == 1);
        CHECK(report.layers.front().status == "kept");
        CHECK(contains(report.layers.front().reason, one.reason));
        CHECK(result(model) == 60);
    }
}

TEST_CASE("Each rule for a hub layer has its own message") {
    const std::string forward = "    def forward(self, x):\n        return x\n";
    const std::string head = "class L(nn.Module):\n";
    const std::string lowered =
        "class F(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, x):\n        return x * "
        "2\n\n\n" +
        head + "    def forward(self, x):\n        return F.apply(x)\n";
    const std::string thrice = head +
                               "    def forward(self, x):\n        out = torch.empty_like(x)\n        "
                               "ops.thrice(out, x)\n        return out\n";
    struct Rule {
        std::string source;
        Mode mode;
        std::string reason;
    };
    const std::vector<Rule> rules = {
        {"class L(object):\n" + forward, Mode::inference, "is no torch.nn.Module"},
        {head + "    def __init__(self):\n        super().__init__()\n" + forward, Mode::inference,
         "has a constructor"},
        {head + "    size = 3\n" + forward, Mode::inference, "has the further member size"},
        {head + "    def other(self):\n        return 1\n" + forward, Mode::inference,
         "has the further method other"},
        {head + "    pass\n", Mode::inference, "has no forward of its own"},
        {head + "    def forward(self, x, y):\n        return x\n", Mode::inference,
         "takes 2 arguments, this one 1"},
        {head + "    def forward(self, *, x):\n        return x\n", Mode::inference, "x by keyword only"},
        {head + "    def forward(self, x: int):\n        return x\n", Mode::inference,
         "takes a int as argument 1"},
        {head + "    def forward(self, x):\n        return 1\n", Mode::inference,
         "returns int, this one Tensor"},
        {head + "    has_backward = False\n" + forward, Mode::training, "has no backward"},
        {lowered, Mode::training, "autograd function"},
        {thrice, Mode::training, "operator thrice has no gradient"},
        {head + forward, Mode::inference | Mode::torch_compile, "cannot be used with torch.compile"},
        {head + "    def forward(self, x):\n        return x * self.gain\n", Mode::inference, "gain"},
    };
    for (const auto& rule : rules) {
        CAPTURE(rule.reason);
        const LocalKernel kernel(rule.source);
        auto model = model_with_act();
        const auto report =
            torchscript::kernelize(model, options_with({{"Act", "cpu", kernel.layer("L")}}, rule.mode));
        REQUIRE(report.layers.size() == 1);
        CHECK(report.layers.front().status == "kept");
        CAPTURE(report.layers.front().reason);
        CHECK(contains(report.layers.front().reason, rule.reason));
        CHECK(result(model) == 60);
        CHECK(!model.attr("act").toModule().find_method("kernels_original_forward"));
    }
    // The last two are fine where their mode is not asked for.
    for (const auto& source : {lowered, thrice}) {
        const LocalKernel kernel(source);
        auto model = model_with_act();
        CHECK(torchscript::kernelize(model, options_with({{"Act", "cpu", kernel.layer("L")}}))
                  .layers.front()
                  .status == "replaced");
    }
}

TEST_CASE("The device comes from the parameters") {
    const LocalKernel kernel(twice_source);
    const auto mapping = KernelMapping{{"Act", "cpu", kernel.layer("Twice")}};
    Module none("__torch__.pkg.Act");
    none.define("def forward(self, x):\n    return x + 1\n");
    auto options = options_with(mapping);
    options.target.reset();  // it tells the device as well
    CHECK(contains(error_of([&] { torchscript::kernelize(none, options); }), "no parameters"));
    auto mixed = model_with_act();
    mixed.register_parameter("other", torch::ones({2}, at::kMeta), false);
    CHECK(contains(error_of([&] { torchscript::kernelize(mixed, options); }), "cpu and meta"));
    options.device = "cpu";
    CHECK(torchscript::kernelize(none, options).layers.front().status == "replaced");
    CHECK(torchscript::kernelize(mixed, options).layers.front().status == "replaced");
    options.mode = Mode::fallback;
    CHECK(error_of([&] { torchscript::kernelize(mixed, options); }) != "");
}

TEST_CASE("DISABLE_KERNEL_MAPPING keeps every original forward") {
    const LocalKernel kernel(twice_source);
    auto model = model_with_act();
    auto options = options_with({{"Act", "cpu", kernel.layer("Twice")}});
    options.use_fallback = KernelizeFallback::none;
    torchscript::kernelize(model, options);
    ::setenv("DISABLE_KERNEL_MAPPING", "1", 1);
    const auto report = torchscript::kernelize(model, options);
    ::unsetenv("DISABLE_KERNEL_MAPPING");
    REQUIRE(report.layers.size() == 1);
    CHECK(contains(report.layers.front().reason, "DISABLE_KERNEL_MAPPING"));
    CHECK(result(model) == 60);
}

TEST_CASE("Bindings: a condition, a function at a path, layers within layers that are kept") {
    const LocalKernel kernel(twice_source,
                             "def double(x: torch.Tensor) -> torch.Tensor:\n    return ops.twice(x)\n");
    auto model = model_with_act();
    auto options = options_with({{"Doubling", "cpu", kernel.function("double")}});
    options.bindings = {torchscript::replace_kernel_forward_from_hub(
        "*.Act", "Doubling", [](const Module& act) { return act.hasattr("bias"); })};
    auto report = torchscript::kernelize(model, options);
    CHECK(contains(report.layers.front().reason, "condition"));
    options.bindings = {torchscript::use_kernel_forward_from_hub("Unknown", "pkg.Model"),
                        torchscript::use_kernel_func_from_hub("Doubling", "a?t")};
    report = torchscript::kernelize(model, options);
    REQUIRE(report.layers.size() == 2);
    CHECK(report.layers[0].status == "kept");
    CHECK(report.layers[1].status == "replaced");
    CHECK(report.layers[1].hub_layer == "double");
    CHECK(result(model) == 100);
}

TEST_CASE("Bindings: `when` compares the module's own attributes") {
    const LocalKernel kernel(twice_source,
                             "def double(x: torch.Tensor) -> torch.Tensor:\n    return ops.twice(x)\n");
    const auto status = [&](std::map<std::string, project::AttributeValue> when) {
        auto model = model_with_act();
        auto act = model.attr("act").toModule();
        act.register_attribute("size", c10::IntType::get(), 8);
        act.register_attribute("eps", c10::FloatType::get(), 0.5);
        act.register_attribute("fast", c10::BoolType::get(), true);
        act.register_attribute("kind", c10::StringType::get(), std::string("silu"));
        auto options = options_with({{"Doubling", "cpu", kernel.function("double")}});
        auto binding = torchscript::use_kernel_forward_from_hub("Doubling", "*.Act");
        binding.when = std::move(when);
        options.bindings = {binding};
        const auto report = torchscript::kernelize(model, options);
        CHECK(result(model) == (report.layers.at(0).status == "replaced" ? 100 : 60));
        return report.layers.at(0).status;
    };
    using namespace std::string_literals;
    CHECK(status({}) == "replaced");
    CHECK(status({{"size", std::int64_t{8}}, {"eps", 0.5}, {"fast", true}, {"kind", "silu"s}}) == "replaced");
    CHECK(status({{"size", 8.0}}) == "replaced");
    CHECK(status({{"size", std::int64_t{9}}}) == "kept");
    CHECK(status({{"size", std::int64_t{8}}, {"eps", 0.25}}) == "kept");
    CHECK(status({{"fast", false}}) == "kept");
    CHECK(status({{"fast", std::int64_t{1}}}) == "kept");
    CHECK(status({{"kind", "gelu"s}}) == "kept");
    CHECK(status({{"kind", true}}) == "kept");
    CHECK(status({{"absent", true}}) == "kept");
}

TEST_CASE("Bindings: one that matches no module is told of, and a condition on a pattern is refused") {
    const LocalKernel kernel(twice_source);
    auto model = model_with_act();
    auto options = options_with({{"Act", "cpu", kernel.layer("Twice")}});
    options.bindings = {torchscript::use_kernel_forward_from_hub("Act", "*.Atc"),
                        torchscript::use_kernel_func_from_hub("Act", "act.*"),
                        torchscript::use_kernel_forward_from_hub("Act", "pkg.Act"),
                        // Not the first that matches, but no mistake in the glob.
                        torchscript::use_kernel_func_from_hub("Act", "act")};
    std::vector<std::string> told;
    log::set_sink([&](log::Level level, const std::string& text) {
        if (level == log::Level::warning) told.push_back(text);
    });
    const auto report = torchscript::kernelize(model, options);
    log::set_sink({});
    CHECK(told == std::vector<std::string>{"binding `Act` (class *.Atc) matches no module of the model",
                                           "binding `Act` (module act.*) matches no module of the model"});
    CHECK(report.layers.front().status == "replaced");

    for (const bool by_when : {true, false}) {
        auto binding = torchscript::use_kernel_forward_from_hub("Act", "*.Act");
        binding.pattern = "plain.pt";
        if (by_when) binding.when = {{"size", std::int64_t{8}}};
        if (!by_when) binding.condition = [](const Module&) { return true; };
        options.bindings = {binding};
        CHECK(contains(error_of([&] { torchscript::kernelize(model, options); }),
                       "binding `Act`: a condition does not go with a pattern"));
        CHECK(result(model) == 100);  // as it was
    }
}
