// Answers questions about the layer module, one JSON document a line in, one a line out, so that the contract
// tests can put the same questions to the Python client.
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>

#include "kernels/core/error.hpp"
#include "kernels/hub/http.hpp"
#include "kernels/hub/hub.hpp"
#include "kernels/layer/resolve.hpp"
#include "kernels/layer/selection.hpp"
#include "probe.hpp"

namespace {

using Json = nlohmann::json;
namespace layer = kernels::layer;

layer::TrustRemoteCode trust(const Json& value) {
    layer::TrustRemoteCode policy;
    if (value.is_boolean()) {
        policy.everyone = value.get<bool>();
    } else {
        policy.is_list = true;
        for (const auto& name : value)
            policy.repositories.push_back(kernels::RepoId::parse(name.get<std::string>()));
    }
    return policy;
}

template <layer::Member member>
layer::Repository repository_of(const Json& question) {
    const std::string name = question.at("name");
    const std::string source = question.at("source");
    if (source == "local")
        return layer::LocalRepository<member>(question.at("path").get<std::string>(), name);
    const std::string repo = question.at("repo");
    const auto policy = trust(question.at("trust"));
    if (source == "locked") {
        return layer::LockedRepository<member>(repo, name, std::filesystem::path(question.at("lock")),
                                               policy);
    }
    if (question.contains("version")) {
        return layer::HubRepository<member>(repo, name, kernels::KernelVersion{question.at("version")},
                                            policy);
    }
    return layer::HubRepository<member>(repo, name, kernels::Revision{question.at("revision")}, policy);
}

layer::Repository repository(const Json& question) {
    return question.at("function").get<bool>() ? repository_of<layer::Member::function>(question)
                                               : repository_of<layer::Member::layer>(question);
}

layer::Mode mode(const Json& flags) {
    std::optional<layer::Mode> all;
    for (const auto& flag : flags) {
        const std::string name = flag;
        const auto one = name == "inference"  ? layer::Mode::inference
                         : name == "training" ? layer::Mode::training
                         : name == "fallback" ? layer::Mode::fallback
                                              : layer::Mode::torch_compile;
        all = all ? *all | one : one;
    }
    return all.value();
}

layer::Device device(const Json& question) {
    const std::string type = question.at("type");
    if (!question.contains("properties")) return {type};
    const int least = question.at("min");
    const int most = question.at("max");
    if (question.at("properties") == "cuda") return {type, layer::CUDAProperties(least, most)};
    return {type, layer::ROCMProperties(least, most)};
}

layer::KernelMapping mapping(const Json& entries) {
    layer::KernelMapping result;
    for (const auto& entry : entries) {
        layer::ModeRepositories repositories;
        if (entry.contains("repository")) {
            repositories = repository(entry.at("repository"));
        } else {
            for (const auto& pair : entry.at("modes"))
                repositories.set(mode(pair.at(0)), repository(pair.at(1)));
        }
        result.set(entry.at("layer"), device(entry.at("device")), std::move(repositories));
    }
    return result;
}

layer::KernelizeFallback fallback(const Json& value) {
    if (value.is_boolean()) return value.get<bool>();
    return layer::KernelizeFallback::parse(value.get<std::string>());
}

// What kernelize does before it loads anything: the mode, the device, the choice, the fallback.
Json query(const Json& step) {
    try {
        const auto wanted = mode(step.at("mode"));
        wanted.require_use();
        const layer::Device on(step.at("device").get<std::string>());
        std::optional<int> capability;
        if (!step.at("capability").is_null()) capability = step.at("capability").get<int>();
        const auto selection =
            layer::select(layer::current_kernel_mapping(), step.at("layer"), on, capability, wanted);
        if (selection) {
            return {{"chosen", layer::member_name(selection.chosen->repository)},
                    {"mode", selection.chosen->mode.to_string()}};
        }
        Json answer = {{"reason", layer::to_string(selection.reason)}};
        try {
            layer::require_covered(selection, fallback(step.at("fallback")));
            answer["kept"] = true;
        } catch (const kernels::Error&) {
            answer["kept"] = false;
        }
        return answer;
    } catch (const kernels::Error& error) {
        return {{"error", error.what()}};
    }
}

// Plays steps from `at` until the scope that they are in ends, and gives the step behind it. Scopes are
// blocks.
std::size_t play(const Json& steps, std::size_t at, Json& answers) {
    while (at < steps.size()) {
        const auto& step = steps.at(at++);
        const std::string kind = step.at("step");
        if (kind == "leave") return at;
        if (kind == "query") {
            answers.push_back(query(step));
            continue;
        }
        const bool inherit = step.at("inherit");
        try {
            const auto given = mapping(step.at("mapping"));
            if (kind == "register") {
                layer::register_kernel_mapping(given, inherit);
            } else {
                const auto scope = layer::use_kernel_mapping(given, inherit);
                at = play(steps, at, answers);
            }
        } catch (const kernels::Error& error) {
            answers.push_back({{"error", error.what()}, {"registering", true}});
            return steps.size();
        }
    }
    return at;
}

Json equal(const Json& question) {
    const auto left = repository(question.at("left"));
    const auto right = repository(question.at("right"));
    const std::hash<layer::Repository> hash;
    return {{"equal", left == right}, {"same_hash", hash(left) == hash(right)}};
}

// Resolves every repository of the question in turn with one Resolver, through the Hub of the environment.
Json resolve(const Json& question) {
    const auto settings = kernels::hub::settings_from_environment();
    const auto http = kernels::hub::make_http_client(settings);
    const kernels::hub::Cache cache(settings.cache);
    const kernels::hub::Hub hub(settings, *http, cache);
    const auto target = kernels::build::Target::parse(question.at("target").get<std::string>());
    const auto fetch = question.value("fetch", true) ? layer::Fetch::yes : layer::Fetch::no;
    layer::Resolver resolver(target, hub, layer::DeviceCheck::yes, fetch);
    Json answers = Json::array();
    for (const auto& one : question.at("repositories")) {
        try {
            const auto kernel = resolver.resolve(repository(one));
            answers.push_back(
                {{"commit", kernel.commit}, {"variant", kernel.variant}, {"folder", kernel.folder}});
        } catch (const kernels::Error& error) {
            answers.push_back({{"error", error.what()}, {"code", kernels::to_string(error.code())}});
        }
    }
    return answers;
}

Json answer(const Json& question) {
    const std::string ask = question.at("ask");
    if (ask == "script") {
        layer::register_kernel_mapping({}, false);
        Json answers = Json::array();
        play(question.at("steps"), 0, answers);
        return answers;
    }
    if (ask == "equal") return equal(question);
    if (ask == "resolve") return resolve(question);
    if (ask == "allows") {
        return trust(question.at("trust"))
            .allows(kernels::RepoId::parse(question.at("repo").get<std::string>()));
    }
    throw std::invalid_argument("no such question: " + ask);
}

}  // namespace

int main() {
    return kernels::testing::answer_lines("layer_probe", answer);
}
