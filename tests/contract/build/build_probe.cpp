// Answers questions about the build module, one JSON document a line in, one a line out, so that the contract
// tests can put the same questions to the Python client.
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/build/build_variant.hpp"
#include "kernels/build/device_fit.hpp"
#include "kernels/build/environment.hpp"
#include "kernels/build/metadata.hpp"
#include "kernels/build/selection.hpp"
#include "kernels/build/target.hpp"
#include "kernels/core/error.hpp"
#include "probe.hpp"

namespace {

using Json = nlohmann::json;
namespace build = kernels::build;

std::optional<kernels::Version> version(const Json& question, const char* key) {
    const auto found = question.find(key);
    if (found == question.end() || found->is_null()) return std::nullopt;
    return kernels::Version::parse(found->get<std::string>());
}

// Built field by field: the client's resolver also answers for pairs that Target::parse refuses.
build::Target target(const Json& question) {
    build::Target target;
    target.cpu = question.at("cpu");
    target.os = question.at("os");
    target.backend = build::Backend::parse(question.at("backend").get<std::string>()).value();
    target.torch = version(question, "torch");
    target.tvm_ffi = version(question, "tvm_ffi");
    target.macos = version(question, "macos");
    if (const Json& abi = question.at("cxx11_abi"); !abi.is_null()) target.cxx11_abi = abi.get<bool>();
    return target;
}

Json select(const Json& question) {
    std::vector<build::BuildVariant> variants;
    for (const auto& name : question.at("variants"))
        variants.push_back(build::BuildVariant::parse(name.get<std::string>()));
    Json answer = Json::array();
    for (const auto& decision : build::select(variants, target(question)).decisions) {
        answer.push_back({decision.variant.to_string(),
                          decision.rejection ? Json(to_string(decision.rejection->reason)) : Json(),
                          decision.rejection ? Json(decision.rejection->text) : Json()});
    }
    return answer;
}

Json parse(const Json& question) {
    const auto variant = build::BuildVariant::try_parse(question.at("name").get<std::string>());
    if (!variant) return nullptr;
    return variant->is_noarch() ? Json{{"noarch", variant->backend_name()}}
                                : Json{{"framework", static_cast<int>(variant->framework())},
                                       {"version", variant->framework_version().to_string()},
                                       {"backend", variant->backend().to_string()},
                                       {"cpu", variant->cpu()},
                                       {"os", variant->os()}};
}

Json metadata(const Json& question) {
    try {
        const auto read = build::Metadata::parse(question.at("text").get<std::string>(), "metadata.json");
        return {{"id", read.id},
                {"name", read.name},
                {"version", read.version},
                {"upstream", read.upstream ? Json(*read.upstream) : Json()},
                {"source", read.source ? Json(*read.source) : Json()},
                {"python_depends", read.python_depends},
                {"archs", read.archs},
                {"dirty", read.dirty},
                {"kernel_depends", read.kernel_depends.size()}};
    } catch (const kernels::Error& error) {
        return {{"error", error.what()}};
    }
}

Json fits(const Json& question) {
    build::Target device;
    const auto archs = question.at("archs").get<std::vector<std::string>>();
    const std::string type = question.at("type");
    if (question.contains("capability")) {
        device.backend = build::Backend{build::BackendKind::cuda, {13, 0}};
        device.capability = question.at("capability").get<int>();
    } else {
        device.backend = build::Backend{build::BackendKind::rocm, {7, 0}};
        device.gpu_arch = question.at("arch").get<std::string>();
    }
    return build::device_fit(type, archs, device).fit != build::Fit::no;
}

Json environment(const Json& question) {
    build::DetectOptions options;
    if (question.contains("torch")) options.torch = question.at("torch").get<std::string>();
    options.project = question.value("project", ".");
    const auto found = build::detect(options);
    Json answer = {
        {"target", found.target.to_string()}, {"facts", Json::object()}, {"missing", Json::array()}};
    for (const auto& missing : found.missing)
        answer["missing"].push_back(missing.text);
    for (const auto& fact : found.facts)
        answer["facts"][fact.name] = {fact.value, fact.origin};
    return answer;
}

Json answer(const Json& question) {
    const std::string ask = question.at("ask");
    if (ask == "select") return select(question);
    if (ask == "parse") return parse(question);
    if (ask == "metadata") return metadata(question);
    if (ask == "environment") return environment(question);
    if (ask == "fits") return fits(question);
    throw std::invalid_argument("no such question: " + ask);
}

}  // namespace

int main() {
    return kernels::testing::answer_lines("build_probe", answer);
}
