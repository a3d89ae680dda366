// What would take a process for each file from the command line, in one.
//
// verify_probe --load < paths: loads each model in a child that has 1 GiB of memory more than it needs; a
// line of JSON for each, {"loaded": true}, {"error": message} or {"signal": number}.
//
// --verify on many models: verify_probe KERNEL_REPOSITORY < lines of JSON
// {"model": file, "layer": its class, "hub-layer": class in the kernel, "seed": number, "mode": "inference"
// or "training", "arguments" and "results": their order in traced code, "pattern": file with the reference
// layer}; one line of JSON for each.
#include <sys/resource.h>
#include <sys/wait.h>
#include <torch/script.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "kernels/core/error.hpp"
#include "kernels/torch/kernelize.hpp"
#include "kernels/torch/model.hpp"
#include "kernels/torch/verify.hpp"

using namespace kernels;

namespace {

nlohmann::json answer(const nlohmann::json& question, const std::string& repository) {
    const std::string path = question.at("model");
    auto model = torchscript::load_model(path);
    const std::string layer = question.at("layer");
    torchscript::KernelizeOptions plan{.mode = layer::Mode::parse(question.value("mode", "inference"))};
    plan.device = layer::Device("cpu");
    plan.mapping = layer::KernelMapping{
        {layer, "cpu", layer::LocalLayerRepository{repository, question.at("hub-layer").get<std::string>()}}};
    if (question.contains("arguments") || question.contains("results") || question.contains("pattern")) {
        auto binding = torchscript::use_kernel_forward_from_hub(layer, "*" + layer);
        binding.arguments = question.value("arguments", std::vector<std::string>());
        binding.results = question.value("results", std::vector<std::int64_t>());
        if (question.contains("pattern")) binding.pattern = question.at("pattern").get<std::string>();
        plan.bindings.push_back(std::move(binding));
    }
    auto original = torchscript::with_own_code(model.module);
    const auto report = torchscript::kernelize(model.module, plan);
    nlohmann::json reply = {{"layers", nlohmann::json::array()}};
    for (const auto& row : report.layers) {
        if (row.status != "replaced") reply["kept"] = row.reason;
    }
    torchscript::VerifyOptions options;
    options.seed = question.at("seed");
    auto inputs = torchscript::infer_inputs(original, path, options.seed);
    if (!inputs) throw Error(ErrorCode::failed, "no inputs can be inferred");
    options.inputs = std::move(*inputs);
    const auto verification = torchscript::verify(original, model.module, report, options);
    reply["passed"] = verification.passed();
    reply["model"] = {{"problem", verification.model.problem}, {"largest", verification.model.largest}};
    for (const auto& verdict : verification.layers) {
        reply["layers"].push_back({{"module", verdict.module},
                                   {"problem", verdict.problem},
                                   {"largest", verdict.largest},
                                   {"cases", verdict.cases},
                                   {"gradients", verdict.gradients},
                                   {"notes", verdict.notes}});
    }
    return reply;
}

nlohmann::json load(const std::string& path) {
    try {
        torchscript::load_model(path);
        return {{"loaded", true}};
    } catch (const std::exception& failure) {
        return {{"error", failure.what()}};
    }
}

void limit_memory() {
    constexpr rlim_t spare = rlim_t{1} << 30U;
    rlim_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlim_t bytes = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + spare;
    const rlimit limit{bytes, bytes};
    ::setrlimit(RLIMIT_AS, &limit);
}

std::string dump(const nlohmann::json& json) {
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

nlohmann::json load_in_child(const std::string& path) {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) return {{"failed", "pipe"}};
    const pid_t child = ::fork();
    if (child == 0) {
        limit_memory();
        const std::string reply = dump(load(path));
        const bool told = ::write(ends[1], reply.data(), reply.size()) == static_cast<ssize_t>(reply.size());
        ::_exit(told ? 0 : 3);
    }
    ::close(ends[1]);
    std::string reply;
    std::array<char, 4096> piece{};
    for (ssize_t got = 0; (got = ::read(ends[0], piece.data(), piece.size())) > 0;)
        reply.append(piece.data(), static_cast<std::size_t>(got));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) return {{"signal", WTERMSIG(status)}};
    return reply.empty() ? nlohmann::json{{"failed", "no reply"}} : nlohmann::json::parse(reply);
}

}  // namespace

int main(int argc, char** argv) {
    std::string line;
    if (argc == 2 && std::string(argv[1]) == "--load") {
        while (std::getline(std::cin, line))
            std::cout << dump(load_in_child(line)) << std::endl;
        return 0;
    }
    if (argc != 2) return 2;
    while (std::getline(std::cin, line)) {
        nlohmann::json reply;
        try {
            reply = answer(nlohmann::json::parse(line), argv[1]);
        } catch (const std::exception& failure) {
            reply = {{"error", failure.what()}};
        }
        std::cout << dump(reply) << std::endl;
    }
    return 0;
}
