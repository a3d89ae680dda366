#include "verification.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "crash_guard.hpp"
#include "inputs.hpp"
#include "kernels/core/text.hpp"

namespace kernels::app {
namespace {

std::string name_of(const torchscript::Verdict& verdict) {
    if (!verdict.method.empty()) return "the method " + verdict.method;
    return verdict.module.empty() ? "the whole model" : verdict.module + " (" + verdict.layer + ")";
}

nlohmann::ordered_json to_json(const torchscript::Verdict& verdict) {
    nlohmann::ordered_json json = {{"largest-difference", verdict.largest}, {"cases", verdict.cases}};
    if (verdict.gradients > 0) {
        json["gradients"] = verdict.gradients;
        json["largest-difference-of-gradients"] = verdict.largest_of_gradients;
    }
    if (!verdict.notes.empty()) json["notes"] = verdict.notes;
    return json;
}

}  // namespace

torchscript::Verification verify(const std::filesystem::path& path, torch::jit::Module& original,
                                 torch::jit::Module& kernelized, const torchscript::KernelizeReport& report,
                                 const Context& context) {
    const Arguments& arguments = context.arguments;
    torchscript::VerifyOptions options;
    options.tolerance = read_tolerance(arguments);
    options.archive = path;
    options.seed = static_cast<std::uint64_t>(arguments.number("--seed", 0).value_or(0));
    const std::string hint = "name them with --input, such as --input int64[1,16]; once for each argument";
    if (arguments.has("--input")) {
        options.inputs = read_inputs(context, original);
    } else {
        auto inferred = torchscript::infer_inputs(original, path, options.seed);
        if (!inferred) {
            throw Error(ErrorCode::usage,
                        path.string() + ": --verify: the arguments of its forward cannot be inferred", hint);
        }
        options.inputs = std::move(*inferred);
    }
    CrashGuard guard(ErrorCode::kernelize, "a kernel crashed", "nothing was written", context.json);
    options.before = [&](const std::string& what) {
        if (interrupted()) throw Error(ErrorCode::interrupted, "interrupted");
        guard.about_to(path.string() + ": " + what);
    };
    auto verification = torchscript::verify(original, kernelized, report, options);
    if (verification.passed()) return verification;

    std::vector<std::string> problems;
    bool differs = false;
    const auto add = [&](const torchscript::Verdict& verdict) {
        if (verdict.problem.empty()) return;
        problems.push_back(name_of(verdict) + ": " + verdict.problem);
        differs = differs || verdict.reached;
    };
    std::for_each(verification.layers.begin(), verification.layers.end(), add);
    add(verification.model);
    std::for_each(verification.methods.begin(), verification.methods.end(), add);
    const std::string first = problems.front();
    problems.erase(problems.begin());
    if (!differs) {
        throw Error(ErrorCode::kernelize, path.string() + ": --verify: " + first,
                    "nothing was written; give --input that reaches it, or leave the layer out", problems);
    }
    throw Error(ErrorCode::kernelize, path.string() + ": --verify found a difference: " + first,
                "nothing was written; leave the layer out, take another kernel, or set --rtol and --atol",
                problems);
}

nlohmann::ordered_json to_json(const torchscript::Verification& verification) {
    nlohmann::ordered_json json = to_json(verification.model);
    json["passed"] = verification.passed();
    if (verification.layers.empty()) json["passed"] = nullptr;  // nothing was replaced
    json["layers"] = nlohmann::ordered_json::array();
    for (const auto& verdict : verification.layers) {
        nlohmann::ordered_json row = {{"module", verdict.module}, {"layer", verdict.layer}};
        row.update(to_json(verdict));
        json["layers"].push_back(std::move(row));
    }
    for (const auto& verdict : verification.methods) {
        nlohmann::ordered_json row = {{"method", verdict.method}};
        row.update(to_json(verdict));
        json["methods"].push_back(std::move(row));
    }
    return json;
}

void print(const torchscript::Verification& verification) {
    std::size_t width = 15;
    for (const auto& verdict : verification.layers)
        width = std::max(width, verdict.module.size());
    const auto row = [&](const std::string& name, const torchscript::Verdict& verdict) {
        if (verdict.cases == 0 && !verdict.notes.empty()) {
            std::printf("%-*s  not verified: %s\n", static_cast<int>(width), name.c_str(),
                        join(verdict.notes, "; ").c_str());
            return;
        }
        std::string more;
        if (verdict.gradients > 0) {
            std::array<char, 96> text{};
            std::snprintf(text.data(), text.size(), "; gradients: %.3g, on %d", verdict.largest_of_gradients,
                          verdict.gradients);
            more = text.data();
        }
        for (const auto& note : verdict.notes)
            if (note.starts_with("not varied: ") || note.starts_with("no gradients ") ||
                note.starts_with("it draws random numbers ") || note.starts_with("not compared in float64: "))
                more += "; " + note;
        std::printf("%-*s  largest difference %.3g, equal on %d inputs%s\n", static_cast<int>(width),
                    name.c_str(), verdict.largest, verdict.cases, more.c_str());
    };
    for (const auto& verdict : verification.layers)
        row(verdict.module, verdict);
    row("the whole model", verification.model);
    for (const auto& verdict : verification.methods)
        row("the method " + verdict.method, verdict);
}

}  // namespace kernels::app
