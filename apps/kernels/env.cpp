// kernels env: what a bug report needs, each fact with its origin.
#include "kernels/build/environment.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "commands.hpp"
#include "common/remedies.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/places.hpp"
#include "kernels/layer/mapping.hpp"
#include "kernels/project/project.hpp"

namespace kernels::app {
namespace {

using build::Fact;

// Where a setting came from: its option, or the first of the environment variables that is set.
std::string origin_of(const Context& context, std::string_view option,
                      std::initializer_list<const char*> variables) {
    if (context.arguments.has(option)) return std::string(option);
    for (const char* name : variables) {
        if (environment_variable(name)) return name;
    }
    return "default";
}

std::vector<Fact> hub_facts(const Context& context) {
    const auto settings = context.settings();
    std::vector<Fact> facts;
    facts.push_back({"endpoint", hub::printable_url(settings.endpoint),
                     origin_of(context, "--endpoint", {"HF_ENDPOINT"})});
    facts.push_back({"token", settings.token ? "present" : "none",
                     settings.token ? settings.token_origin : "neither HF_TOKEN nor a token file"});
    facts.push_back(
        {"cache", settings.cache.string(),
         origin_of(context, "--cache",
                   {"KERNELS_CACHE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"})});
    facts.push_back({"offline", settings.offline ? "true" : "false",
                     origin_of(context, "--offline", {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"})});
    return facts;
}

}  // namespace

int run_env(const Context& context) {
    const std::filesystem::path folder = context.project_folder();
    auto options = context.detect_options(folder);
    options.for_report = true;
    const auto environment = build::detect(options);
    std::vector<Fact> facts = {{"kernels", KERNELS_VERSION, "this program"}};
    std::vector<std::string> missing;
    // A page with what can be told: it is asked for just when something is wrong.
    const auto attempt = [&](auto look) {
        try {
            look();
        } catch (const Error& error) {
            const auto hint = hint_of(error, context.arguments);
            missing.push_back(error.what() + (hint.empty() ? "" : "; " + hint));
        }
    };
    for (const auto& [text, remedy] : environment.missing) {
        missing.push_back(remedy ? with_options(text, std::span(&*remedy, 1), context.arguments) : text);
    }
    facts.insert(facts.end(), environment.facts.begin(), environment.facts.end());
    attempt([&] {
        const auto hub = hub_facts(context);
        facts.insert(facts.end(), hub.begin(), hub.end());
    });
    for (const auto& [name, variable] : {std::pair{"local-kernels", "LOCAL_KERNELS"},
                                         std::pair{"mapping-disabled", "DISABLE_KERNEL_MAPPING"}}) {
        if (auto value = environment_variable(variable)) facts.push_back({name, std::move(*value), variable});
    }
    attempt([] { local_kernel_folder(RepoId::parse("any/kernel")); });  // that LOCAL_KERNELS can be read
    attempt([] { layer::kernel_mapping_disabled(); });
    if (const auto program = find_torch_program()) {
        facts.push_back(
            {"kernels-torch", program->string(),
             environment_variable("KERNELS_TORCH_BIN") ? "KERNELS_TORCH_BIN" : "found beside this program"});
    } else {
        missing.emplace_back(
            "kernels-torch: kernelize, inspect and run need it; CMake builds it where it finds a libtorch");
    }
    attempt([&] {
        if (const auto project = project::find(folder)) {
            facts.push_back({"project", project->file.string(),
                             context.arguments.has("--project") ? "--project" : "this folder or above"});
        }
    });

    // A target is for copying: without its backend it would be one for the CPU.
    const bool has_target = !environment.torch || environment.torch->backend_unknown.empty();
    const std::string target = has_target ? environment.target.to_string() : "not known";
    if (context.json) {
        nlohmann::ordered_json list = nlohmann::ordered_json::array();
        for (const auto& fact : facts)
            list.push_back({{"name", fact.name}, {"value", fact.value}, {"origin", fact.origin}});
        print_json({{"target", has_target ? nlohmann::ordered_json(target) : nlohmann::ordered_json()},
                    {"facts", list},
                    {"missing", missing}});
        return 0;
    }
    std::size_t name_width = 0;
    std::size_t value_width = 0;
    for (const auto& fact : facts) {
        name_width = std::max(name_width, fact.name.size());
        value_width = std::max(value_width, std::min<std::size_t>(fact.value.size(), 40));
    }
    for (const auto& fact : facts) {
        std::printf("%-*s  %-*s  (%s)\n", static_cast<int>(name_width), fact.name.c_str(),
                    static_cast<int>(value_width), fact.value.c_str(), fact.origin.c_str());
    }
    std::printf("%-*s  %s\n", static_cast<int>(name_width), "target", target.c_str());
    for (const auto& line : missing)
        std::printf("missing: %s\n", line.c_str());
    return 0;
}

}  // namespace kernels::app
