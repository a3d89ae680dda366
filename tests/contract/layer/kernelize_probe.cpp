// Kernelizes a model of one layer, for each line of JSON on stdin, and says on stdout what became of it, so
// that the contract tests can do the same with the Python client:
//
//     {"original": text of its forward, "repository": {"path"} or {"repo", "lock"}, "name": hub layer,
//      "mapped": mode of the mapping's entry or null, "mode", "fallback", "inputs": number}
//     {"result": of its forward on ones, 2 · ones, …, "replaced": bool, "repo", "reason"}
//     {"error": message, "code"}
#include <torch/script.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "kernels/core/error.hpp"
#include "kernels/torch/kernelize.hpp"
#include "probe.hpp"

using namespace kernels;

namespace {

using Json = nlohmann::json;

layer::Repository repository(const Json& question) {
    const std::string name = question.at("name");
    const Json& given = question.at("repository");
    if (given.contains("path")) return layer::LocalLayerRepository(given.at("path").get<std::string>(), name);
    return layer::LockedLayerRepository(given.at("repo").get<std::string>(), name,
                                        std::filesystem::path(given.at("lock").get<std::string>()));
}

Json answer(const Json& question) {
    torch::jit::Module model("__torch__.contract.Layer");
    model.define(question.at("original").get<std::string>());
    Json reply;
    try {
        layer::ModeRepositories repositories;
        if (question.at("mapped").is_null()) {
            repositories = repository(question);
        } else {
            repositories.set(layer::Mode::parse(question.at("mapped").get<std::string>()),
                             repository(question));
        }
        torchscript::KernelizeOptions options{.mode =
                                                  layer::Mode::parse(question.at("mode").get<std::string>())};
        options.mapping.emplace();
        options.mapping->set("Layer", "cpu", std::move(repositories));
        options.use_fallback = layer::KernelizeFallback::parse(question.at("fallback").get<std::string>());
        options.target = build::Target::parse("torch=2.13,cpu,cpu=x86_64,os=linux");
        const auto report = torchscript::kernelize(model, options);
        const auto& row = report.layers.at(0);
        reply = {{"replaced", row.status == "replaced"}, {"repo", row.repo}, {"reason", row.reason}};
    } catch (const Error& error) {
        reply = {{"error", error.what()}, {"code", to_string(error.code())}};
    }
    // After an error, too: the layer must then be as it was.
    std::vector<c10::IValue> inputs;
    for (int i = 1; i <= question.at("inputs").get<int>(); ++i)
        inputs.emplace_back(torch::full({1}, i));
    reply["result"] = model.forward(std::move(inputs)).toTensor().item<double>();
    return reply;
}

}  // namespace

int main() {
    // The kernels under test have no library of their own: they are found by their namespaces.
    std::vector<torch::Library> libraries;
    for (int i = 0; i < 8; ++i) {
        libraries.emplace_back(torch::Library::DEF, "kernels_contract_" + std::to_string(i), std::nullopt,
                               __FILE__, __LINE__);
        libraries.back().def("same(Tensor x) -> Tensor", [](const at::Tensor& x) { return x.clone(); });
    }
    return kernels::testing::answer_lines("kernelize_probe", answer);
}
