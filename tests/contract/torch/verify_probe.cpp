// --verify on many models in one process: verify_probe VARIANT_FOLDER OP_NAMESPACE < lines of JSON
// {"model": file, "layer": its class, "hub-layer": class in the kernel, "seed": number}; one line of JSON for
// each.
#include <torch/script.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "kernels/core/error.hpp"
#include "kernels/torch/kernelize.hpp"
#include "kernels/torch/model.hpp"
#include "kernels/torch/verify.hpp"

using namespace kernels;

namespace {

nlohmann::json answer(const nlohmann::json& question, const std::string& folder, const std::string& space) {
    const std::string path = question.at("model");
    auto model = torchscript::load_model(path);
    torchscript::KernelizeOptions plan;
    torchscript::KernelLayer kernel;
    kernel.layer_name = question.at("layer");
    kernel.hub_layer = question.at("hub-layer");
    kernel.variant_folder = folder;
    kernel.op_namespace = space;
    plan.kernels.push_back(kernel);
    auto original = torchscript::with_own_code(model.module);
    const auto manifest = torchscript::kernelize(model.module, plan);
    nlohmann::json reply = {{"layers", nlohmann::json::array()}};
    for (const auto& row : manifest.layers) {
        if (row.status != "replaced") reply["kept"] = row.reason;
    }
    torchscript::VerifyOptions options;
    options.seed = question.at("seed");
    auto inputs = torchscript::infer_inputs(original, path, options.seed);
    if (!inputs) throw Error(ErrorCode::failed, "no inputs can be inferred");
    options.inputs = std::move(*inputs);
    options.made_up = true;
    const auto verification = torchscript::verify(original, model.module, manifest, options);
    reply["passed"] = verification.passed();
    reply["model"] = {{"problem", verification.model.problem}, {"largest", verification.model.largest}};
    for (const auto& verdict : verification.layers) {
        reply["layers"].push_back({{"module", verdict.module},
                                   {"problem", verdict.problem},
                                   {"largest", verdict.largest},
                                   {"cases", verdict.cases},
                                   {"notes", verdict.notes}});
    }
    return reply;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    std::string line;
    while (std::getline(std::cin, line)) {
        nlohmann::json reply;
        try {
            reply = answer(nlohmann::json::parse(line), argv[1], argv[2]);
        } catch (const std::exception& failure) {
            reply = {{"error", failure.what()}};
        }
        std::cout << reply.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
    }
    return 0;
}
