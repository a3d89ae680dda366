#include <torch/script.h>

#include <cstdlib>

#include "torch_doctest.hpp"

#include "act_model.hpp"

using namespace kernels;
using namespace kernels::layer;
using namespace kernels::testing;
using torch::jit::Module;

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
        const auto refused = message_of([&] { torchscript::kernelize(model, options); });
        CHECK(has(refused, "act (Act): "));
        CHECK(has(refused, one.reason));
        CHECK(result(model) == 60);
        options.use_fallback = KernelizeFallback::standard;
        CHECK((message_of([&] { torchscript::kernelize(model, options); }) == "") == one.by_default);
        options.use_fallback = KernelizeFallback::all;
        const auto report = torchscript::kernelize(model, options);
        REQUIRE(report.layers.size() == 1);
        CHECK(report.layers.front().status == "kept");
        CHECK(has(report.layers.front().reason, one.reason));
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
        CHECK(has(report.layers.front().reason, rule.reason));
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
    CHECK(has(message_of([&] { torchscript::kernelize(none, options); }), "no parameters"));
    auto mixed = model_with_act();
    mixed.register_parameter("other", torch::ones({2}, at::kMeta), false);
    CHECK(has(message_of([&] { torchscript::kernelize(mixed, options); }), "cpu and meta"));
    options.device = "cpu";
    CHECK(torchscript::kernelize(none, options).layers.front().status == "replaced");
    CHECK(torchscript::kernelize(mixed, options).layers.front().status == "replaced");
    options.mode = Mode::fallback;
    CHECK(message_of([&] { torchscript::kernelize(mixed, options); }) != "");
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
    CHECK(has(report.layers.front().reason, "DISABLE_KERNEL_MAPPING"));
    CHECK(result(model) == 60);
}
