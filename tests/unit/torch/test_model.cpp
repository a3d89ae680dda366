#include <torch/library.h>
#include <torch/script.h>

#include <atomic>
#include <filesystem>
#include <set>

#include "torch_doctest.hpp"

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/runtime/runtime.hpp"
#include "kernels/torch/kernelize.hpp"
#include "kernels/torch/model.hpp"
#include "temporary_folder.hpp"
#include "torch/called_operators.hpp"

using namespace kernels;
using namespace kernels::torchscript;
using kernels::testing::TemporaryFolder;
using torch::jit::Module;

TEST_CASE("The operators of a model that is looked at are there while something calls them") {
    const std::string seen = "_seen_only";
    const std::string schema = seen + "::twice(Tensor x) -> Tensor";
    const TemporaryFolder folder;
    runtime::Manifest manifest;
    manifest.device = "cpu";
    manifest.kernels = {{"org/name", std::string(40, '0'), "torch-cpu", seen, "build/torch-cpu/x.so", "",
                         std::vector{schema}}};
    CHECK(runtime::Manifest::parse(manifest.to_json()).kernels.front().operators == std::vector{schema});
    CHECK(runtime::Manifest::parse(manifest.to_json()).to_json() == manifest.to_json());
    {
        torch::Library known(torch::Library::FRAGMENT, seen, std::nullopt, __FILE__, __LINE__);
        known.def("twice(Tensor x) -> Tensor");
        Module model("__torch__.pkg.Seen");
        const auto graph = std::make_shared<torch::jit::Graph>();
        graph->addInput("self")->setType(model.type());
        auto* x = graph->addInput("x");
        graph->registerOutput(graph->insert(c10::Symbol::fromQualString(seen + "::twice"), {x}));
        model.type()->addMethod(model._ivalue()->compilation_unit()->create_function(
            c10::QualifiedName(*model.type()->name(), "forward"), graph));
        runtime::Manifest noted = manifest;
        noted.kernels.front().operators.reset();
        note_operators(model, noted);
        CHECK(noted.kernels.front().operators == std::vector{schema});
        save_model({model, {{runtime::manifest_name, manifest.to_json()}}}, folder / "seen.pt");
    }
    CHECK(!runtime::has_operators(seen));
    const auto loaded = load_model(folder / "seen.pt", ModelUse::inspect);
    CHECK(count_kernel_calls(loaded.module) == std::map<std::string, int>{{seen + "::twice", 1}});
    forget_operators(loaded.module);
    CHECK(runtime::has_operators(seen));
    forget_operators(Module("__torch__.pkg.Other"));
    CHECK(!runtime::has_operators(seen));
}

TEST_CASE("A model that calls no operator of its kernel is read without the kernel's library") {
    const TemporaryFolder folder;
    Module model("__torch__.pkg.Quiet");
    model.define("def forward(self, x: Tensor) -> Tensor:\n    return x + x\n");
    runtime::Manifest manifest;
    manifest.device = "cpu";
    manifest.kernels = {{"", "", "", "_quiet", (folder / "gone.so").string(), ""}};
    save_model({model, {{runtime::manifest_name, manifest.to_json()}}}, folder / "older.pt");
    CHECK_THROWS_WITH_AS(load_model(folder / "older.pt", ModelUse::inspect), doctest::Contains("gone.so"),
                         Error);

    note_operators(model, manifest);
    CHECK(runtime::Manifest::parse(manifest.to_json()).kernels.front().operators ==
          std::optional(std::vector<std::string>()));
    save_model({model, {{runtime::manifest_name, manifest.to_json()}}}, folder / "quiet.pt");
    CHECK(count_kernel_calls(load_model(folder / "quiet.pt", ModelUse::inspect).module).empty());
}

TEST_CASE("What stops the writing of a model leaves no file") {
    const TemporaryFolder folder;
    const std::atomic<bool> cancel = true;
    Module model("__torch__.pkg.Model");
    model.define("def forward(self, x):\n    return x + 1\n");
    CHECK_THROWS_AS(save_model({model, {}, &cancel}, folder / "model.pt"), Error);
    CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE(
    "A model that was saved keeps the text that its code comes from once, and says the same of each node") {
    const TemporaryFolder folder;
    // As tracing does it: each node has a source of its own, with the same text as others.
    Module model("__torch__.pkg.Traced");
    const auto graph = std::make_shared<torch::jit::Graph>();
    graph->addInput("self")->setType(model.type());
    auto* value = graph->addInput("x");
    constexpr std::size_t count = 50;
    for (std::size_t i = 0; i < count; ++i) {
        value = graph->insert(torch::jit::aten::relu, {value});
        const auto source = std::make_shared<torch::jit::Source>(
            i % 2 == 0 ? "layer.py(3): forward\n" : "other.py(5): forward\n", std::nullopt, 0);
        value->node()->setSourceRange({source, 0, source->size()});
    }
    graph->registerOutput(value);
    model.type()->addMethod(model._ivalue()->compilation_unit()->create_function(
        c10::QualifiedName(*model.type()->name(), "forward"), graph));
    model.save((folder / "first.pt").string());

    const auto sources = [](const Module& of) {
        std::set<const torch::jit::Source*> all;
        for (const auto* node : of.get_method("forward").graph()->nodes())
            all.insert(node->sourceRange().source().get());
        return all.size();
    };
    const auto texts = [](const Module& of) {
        std::vector<std::string> all;
        for (const auto* node : of.get_method("forward").graph()->nodes()) {
            const auto here = node->sourceRange();
            all.push_back(here.findSourceRangeThatGenerated().value_or(here).text().str());
        }
        return all;
    };
    const auto loaded = load_model(folder / "first.pt");
    save_model(loaded, folder / "second.pt");
    CHECK(sources(loaded.module) == 2);
    const auto again = load_model(folder / "second.pt");
    CHECK(texts(again.module) == texts(model));
    CHECK(texts(loaded.module) == texts(model));
    save_model(again, folder / "third.pt");
    CHECK(read_file(folder / "third.pt", 1U << 20U).size() ==
          read_file(folder / "second.pt", 1U << 20U).size());
}
