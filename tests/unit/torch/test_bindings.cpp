#include <torch/script.h>

#include "torch_doctest.hpp"

#include <map>

#include "act_model.hpp"
#include "kernels/core/log.hpp"

using namespace kernels;
using namespace kernels::layer;
using namespace kernels::testing;
using torch::jit::Module;

TEST_CASE("Bindings: a condition, a function at a path, layers within layers that are kept") {
    const LocalKernel kernel(twice_source,
                             "def double(x: torch.Tensor) -> torch.Tensor:\n    return ops.twice(x)\n");
    auto model = model_with_act();
    auto options = options_with({{"Doubling", "cpu", kernel.function("double")}});
    options.bindings = {torchscript::replace_kernel_forward_from_hub(
        "*.Act", "Doubling", [](const Module& act) { return act.hasattr("bias"); })};
    auto report = torchscript::kernelize(model, options);
    CHECK(has(report.layers.front().reason, "condition"));
    options.bindings = {torchscript::use_kernel_forward_from_hub("Unknown", "pkg.Model"),
                        torchscript::use_kernel_func_from_hub("Doubling", "a?t")};
    report = torchscript::kernelize(model, options);
    REQUIRE(report.layers.size() == 2);
    CHECK(report.layers[0].status == "kept");
    CHECK(report.layers[1].status == "replaced");
    CHECK(report.layers[1].hub_layer == "double");
    CHECK(result(model) == 100);
}

TEST_CASE("Bindings: by class, by a glob on classes and by path") {
    const LocalKernel kernel(twice_source);
    auto options = options_with({{"Layer", "cpu", kernel.layer("Twice")}});
    const auto replaced_by = [&](const torchscript::LayerBinding& binding) {
        auto model = model_with_act();
        options.bindings = {binding};
        torchscript::kernelize(model, options);
        return result(model) == 100;
    };
    using torchscript::ModulePath;
    using torchscript::use_kernel_forward_from_hub;
    CHECK(replaced_by(use_kernel_forward_from_hub("Layer", "pkg.Act")));
    CHECK(replaced_by(use_kernel_forward_from_hub("Layer", "Act")));
    CHECK(replaced_by(use_kernel_forward_from_hub("Layer", "*.A?t")));
    CHECK(replaced_by(use_kernel_forward_from_hub("Layer", ModulePath{"act"})));
    CHECK(replaced_by(use_kernel_forward_from_hub("Layer", ModulePath{"a*"})));
    CHECK_FALSE(replaced_by(use_kernel_forward_from_hub("Layer", "pkg.Acts")));
    CHECK_FALSE(replaced_by(use_kernel_forward_from_hub("Layer", ModulePath{"pkg.Act"})));
}

TEST_CASE("Bindings: a condition is asked once for each module") {
    const LocalKernel kernel(twice_source);
    auto options = options_with({{"Act", "cpu", kernel.layer("Twice")}});
    auto model = model_with_act();
    model.register_module("again", model.attr("act").toModule());
    model.register_module("other", model_with_act().attr("act").toModule());
    std::map<const void*, int> asked;
    bool wanted = true;
    options.bindings = {torchscript::replace_kernel_forward_from_hub("Act", "Act", [&](const Module& act) {
        ++asked[act._ivalue().get()];
        return wanted;
    })};
    for (const bool wants : {true, false}) {
        wanted = wants;
        asked.clear();
        torchscript::kernelize(model, options);
        CHECK(result(model) == (wants ? 100 : 60));
        REQUIRE(asked.size() == 2);
        for (const auto& [module, times] : asked)
            CHECK(times == 1);
    }
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
        CHECK(has(message_of([&] { torchscript::kernelize(model, options); }),
                  "binding `Act`: a condition does not go with a pattern"));
        CHECK(result(model) == 100);  // as it was
    }
}
