// kernels mapping show: the project's mapping, and what each layer gets.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <iterator>
#include <optional>
#include <set>

#include "build/torch_library.hpp"
#include "commands.hpp"
#include "common/remedies.hpp"
#include "kernels/core/places.hpp"
#include "kernels/core/text.hpp"
#include "kernels/layer/resolve.hpp"
#include "kernels/layer/selection.hpp"
#include "kernels/project/project.hpp"
#include "source/hub_module.hpp"
#include "targets.hpp"

namespace kernels::app {
namespace {

using Json = nlohmann::ordered_json;

// The device that is chosen for, and the machine when it is known.
struct Place {
    layer::Device device;
    std::optional<int> capability;
    std::optional<build::Target> target;
};

// What a layer gets at a place.
struct Outcome {
    std::string layer;
    layer::Selection selection;
    std::optional<layer::ResolvedKernel> kernel;
    std::optional<Error> missing;    ///< why there is no build here, though a repository is chosen
    const char* unusable = nullptr;  ///< the state of a build whose layer cannot be used
    std::string why_unusable;
    std::vector<std::string> notes;  ///< what kernelize still asks of a build that is ready
};

std::optional<int> capability_option(const Arguments& arguments) {
    const auto text = arguments.value("--capability");
    if (!text) return std::nullopt;
    int value = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc() || end != text->data() + text->size() || value < 0) {
        throw Error(ErrorCode::usage, "--capability " + backquoted(*text) + ": no capability",
                    "compute capability 8.0 is written 80");
    }
    return value;
}

Place place_for(build::Target target, const Arguments& arguments) {
    const auto named = arguments.value("--device");
    const auto capability = capability_option(arguments);
    Place place{layer::Device(layer::device_type_of(target)), std::nullopt, std::nullopt};
    if (named) {
        try {
            place.device = layer::Device(*named);
        } catch (const Error& error) {
            throw error.reworded(std::string("--device: ") + error.what());
        }
    }
    const std::string& type = place.device.type();
    if (capability && !layer::has_capabilities(type)) {
        throw Error(ErrorCode::usage, "--capability: " + type + " has no capabilities",
                    "only cuda and rocm have");
    }
    const auto named_capability = layer::capability_of(target);
    if (capability && arguments.has("--target") && type == layer::device_type_of(target) &&
        named_capability && capability != named_capability) {
        throw Error(ErrorCode::usage,
                    "--capability " + std::to_string(*capability) + ": the target " + target.to_string() +
                        " has " + std::to_string(*named_capability),
                    "leave out one of the two");
    }
    if (type == "cpu") target.backend = build::Backend{};  // every machine has one
    if (type == layer::device_type_of(target)) {
        if (type == "cuda" && capability) target.capability = capability;
        place.capability = layer::capability_of(target);
        place.target = target;
    } else if (arguments.has("--target")) {
        throw Error(ErrorCode::usage,
                    "--device " + type + ": the target " + target.to_string() + " computes on " +
                        layer::device_type_of(target),
                    "leave out one of the two");
    }
    if (capability) place.capability = capability;
    return place;
}

// Reads the build's source for the layer, as whoever replaces a forward by it will.
void judge(Outcome& outcome, layer::Mode mode) {
    const auto& repository = outcome.selection.chosen->repository;
    const bool function = layer::is_function(repository);
    const std::string name = layer::member_name(repository);
    const auto refuse = [&](const char* state, std::string why) {
        outcome.unusable = state;
        outcome.why_unusable = std::move(why);
    };
    try {
        const auto& [repo, commit, variant, folder, op_namespace, remarks] = *outcome.kernel;
        const bool has_library = build::torch_library(folder, op_namespace).has_value();
        if (const auto why = build::why_not_callable(variant, has_library); !why.empty())
            return refuse("refused", why);
        const auto module = source::HubModule::load(folder, function);
        const auto found = function ? module.function_layer(name) : module.layer(name);
        const auto mapped = outcome.selection.chosen->mode;
        const auto why = found.unfit_for({mode.is_training(), mode.is_torch_compile()},
                                         {mapped.is_training(), mapped.is_torch_compile()});
        if (!why.empty()) refuse("refused", name + " " + why);
    } catch (const Error& error) {
        const bool absent = error.code() == ErrorCode::not_found;
        const std::string hint = error.hint().empty() ? "" : " (" + error.hint() + ")";
        refuse(absent ? "no-such-layer" : "refused", error.what() + hint);
    }
}

// What only kernelize learns, and may keep the layer for or refuse.
std::vector<std::string> left_to_kernelize(const Outcome& outcome, layer::Mode mode) {
    std::vector<std::string> notes;
    const auto& repository = outcome.selection.chosen->repository;
    const auto& kernel = *outcome.kernel;
    if (!kernel.repo.empty()) {  // what is local is trusted
        const auto trust = layer::trust_of(repository);
        std::set<RepoId> repos{*layer::repo_of(repository), RepoId::parse(kernel.repo)};  // it may have moved
        std::erase_if(repos, [&](const RepoId& repo) { return trust.allows(repo); });
        for (const auto& repo : repos) {
            notes.push_back("whether " + repo.org() +
                            " is a trusted publisher is not checked here: kernelize asks the Hub");
        }
    }
    if (mode.is_training() && build::torch_library(kernel.folder, kernel.id)) {
        notes.emplace_back(
            "whether its operators have gradients shows when they are loaded: without, kernelize keeps the "
            "layer's own forward");
    }
    return notes;
}

Outcome outcome_for(const std::string& name, const layer::KernelMapping& mapping, const Place& place,
                    layer::Mode mode, bool disabled, const hub::Cache& cache, layer::DeviceCheck check) {
    Outcome outcome{name, layer::select(mapping, name, place.device, place.capability, mode), {}, {}};
    if (disabled) outcome.selection = {{}, layer::NoKernel::disabled, "DISABLE_KERNEL_MAPPING is set"};
    if (!outcome.selection || !place.target) return outcome;
    try {
        outcome.kernel = layer::resolve(outcome.selection.chosen->repository, *place.target, cache, check);
    } catch (const Error& error) {
        outcome.missing = error;
    }
    if (outcome.kernel) judge(outcome, mode);
    if (outcome.kernel && outcome.unusable == nullptr) outcome.notes = left_to_kernelize(outcome, mode);
    const auto* const repo = layer::repo_of(outcome.selection.chosen->repository);
    if (outcome.kernel && repo != nullptr && local_kernel_folder(*repo)) {
        outcome.notes.insert(outcome.notes.begin(),
                             "LOCAL_KERNELS names this folder for it, whatever is locked or downloaded");
    }
    return outcome;
}

const char* state_of(const Outcome& outcome) {
    if (!outcome.selection) return "original";
    if (outcome.unusable != nullptr) return outcome.unusable;
    if (outcome.kernel) return "ready";
    if (!outcome.missing) return "unknown-machine";
    switch (outcome.missing->code()) {
        case ErrorCode::lock_missing:
        case ErrorCode::lock_stale:
            return "not-locked";
        case ErrorCode::not_found: {
            // What stands for a repository in LOCAL_KERNELS is no download either.
            const auto* repo = layer::repo_of(outcome.selection.chosen->repository);
            return repo != nullptr && !local_kernel_folder(*repo) ? "not-downloaded" : "not-found";
        }
        case ErrorCode::no_build:
            return "no-build";
        default:
            return "failed";
    }
}

// `{"kind", "repo" or "path", "version" or "revision" or "commit", "layer" or "func", "trust_remote_code"}`
Json to_json(const layer::Repository& repository) {
    Json document;
    std::visit(
        [&](const auto& one) {
            if constexpr (requires { one.path(); }) {
                document["kind"] = "local";
                document["path"] = one.path().string();
            } else if constexpr (requires { one.reference(); }) {
                document["kind"] = "hub";
                document["repo"] = one.repo().to_string();
                if (const auto* version = one.reference().version()) {
                    document["version"] = version->number;
                } else {
                    document["revision"] = one.reference().revision()->name();
                }
            } else {
                document["kind"] = "locked";
                document["repo"] = one.repo().to_string();
                const auto* entry = one.lock() != nullptr ? one.lock()->find(one.repo()) : nullptr;
                document["commit"] = entry != nullptr ? Json(entry->commit.to_string()) : Json();
            }
        },
        repository);
    document[layer::is_function(repository) ? "func" : "layer"] = layer::member_name(repository);
    const auto trust = layer::trust_of(repository);
    if (trust.everyone) {
        document["trust_remote_code"] = true;
    } else {
        auto& list = document["trust_remote_code"] = Json::array();
        for (const auto& repo : trust.repositories)
            list.push_back(repo.to_string());
    }
    return document;
}

Json entry_to_json(const std::string& name, const layer::Device& device, layer::Mode mode,
                   const layer::Repository& repository) {
    Json document = {{"layer", name}, {"device", device.type()}};
    if (device.has_properties()) {
        const auto interval = device.interval();
        document["min_capability"] = interval.least;
        document["max_capability"] =
            interval.most == layer::CapabilityInterval::unlimited ? Json() : Json(interval.most);
    }
    document["mode"] = mode.to_string();
    document["repository"] = to_json(repository);
    return document;
}

Json to_json(const Outcome& outcome, const Arguments& arguments) {
    Json document = {{"layer", outcome.layer}, {"state", state_of(outcome)}};
    if (outcome.selection) {
        const auto& chosen = *outcome.selection.chosen;
        document["chosen"] = entry_to_json(outcome.layer, chosen.device, chosen.mode, chosen.repository);
    } else {
        document["reason"] = layer::to_string(outcome.selection.reason);
        document["why"] = outcome.selection.why;
    }
    if (outcome.kernel) {
        document["variant"] = outcome.kernel->variant;
        document["folder"] = outcome.kernel->folder.string();
        document["commit"] = outcome.kernel->commit.empty() ? Json() : Json(outcome.kernel->commit);
    }
    if (outcome.unusable != nullptr) document["why"] = outcome.why_unusable;
    if (!outcome.notes.empty()) document["notes"] = outcome.notes;
    if (outcome.missing) {
        document["why"] = outcome.missing->what();
        document["hint"] = hint_of(*outcome.missing, arguments);
        add_builds(document, *outcome.missing);
    }
    return document;
}

void print_mapping(const layer::KernelMapping& mapping, const std::vector<std::string>& names) {
    std::size_t device_width = 0;
    std::size_t mode_width = 0;
    for (const auto& name : names) {
        for (const auto& entry : mapping.entries(name)) {
            device_width = std::max(device_width, entry.device.to_string().size());
            for (const auto& [mode, repository] : entry.repositories.all())
                mode_width = std::max(mode_width, mode.to_string().size());
        }
    }
    for (const auto& name : names) {
        std::printf("%s\n", name.c_str());
        for (const auto& entry : mapping.entries(name)) {
            for (const auto& [mode, repository] : entry.repositories.all()) {
                std::printf("  %-*s  %-*s  %s\n", static_cast<int>(device_width),
                            entry.device.to_string().c_str(), static_cast<int>(mode_width),
                            mode.to_string().c_str(), layer::describe(repository).c_str());
            }
        }
    }
}

void print_outcome(const Outcome& outcome, std::size_t width, const Context& context) {
    std::string text;
    if (!outcome.selection) {
        text = "its own forward: " + outcome.selection.why;
    } else {
        const auto& chosen = *outcome.selection.chosen;
        text = layer::describe(chosen.repository) + ", mapped for " + chosen.device.to_string() + " " +
               chosen.mode.to_string();
    }
    std::printf("  %-*s  %s\n", static_cast<int>(width), outcome.layer.c_str(), text.c_str());
    const std::string indent(width + 4, ' ');
    if (outcome.unusable != nullptr) {
        std::printf("%s%s: %s\n", indent.c_str(), state_of(outcome), outcome.why_unusable.c_str());
    } else if (outcome.kernel) {
        std::printf("%s%s: %s\n", indent.c_str(), bold("ready", context.colour_out).c_str(),
                    outcome.kernel->folder.c_str());
        for (const auto& note : outcome.notes)
            std::printf("%s  %s\n", indent.c_str(), note.c_str());
    } else if (outcome.missing) {
        std::printf("%s%s: %s\n", indent.c_str(), state_of(outcome), outcome.missing->what());
        if (const auto hint = hint_of(*outcome.missing, context.arguments); !hint.empty())
            std::printf("%s  hint: %s\n", indent.c_str(), hint.c_str());
    }
}

// --layer NAME; all without it.
std::vector<std::string> wanted_layers(const layer::KernelMapping& mapping, const Arguments& arguments) {
    const auto known = mapping.layer_names();
    const auto named = arguments.values("--layer");
    if (named.empty()) return known;
    for (const auto& name : named) {
        if (std::find(known.begin(), known.end(), name) != known.end()) continue;
        const auto hint = did_you_mean(name, known);
        throw Error(ErrorCode::usage, "--layer: no layer " + backquoted(name) + " is mapped to a kernel",
                    hint.empty() ? "layers: " + join(known, ", ") : hint);
    }
    std::vector<std::string> wanted;
    std::copy_if(known.begin(), known.end(), std::back_inserter(wanted), [&](const std::string& name) {
        return std::find(named.begin(), named.end(), name) != named.end();
    });
    return wanted;
}

}  // namespace

int run_mapping_show(const Context& context) {
    const auto& arguments = context.arguments;
    const auto mode = layer::Mode::parse(arguments.value("--mode").value_or("inference"));
    mode.require_use();
    // A mistake in the environment is told before anything is printed, whichever layers it is for.
    local_kernels();
    const bool disabled = layer::kernel_mapping_disabled();
    const auto project = project::load(context.project_folder());
    const auto mapping = layer::mapping_of(project);
    if (mapping.empty()) {
        throw Error(ErrorCode::project_file, project.file.string() + ": no layer is mapped to a kernel",
                    "add a [[layers]] entry");
    }
    const auto names = wanted_layers(mapping, arguments);
    const hub::Cache cache(context.settings().cache);
    const auto check = arguments.has("--no-device-check") ? layer::DeviceCheck::no : layer::DeviceCheck::yes;
    std::vector<Place> places;
    for (auto& target : targets_from(context, context.project_folder()))
        places.push_back(place_for(target, arguments));

    Json entries = Json::array();
    for (const auto& name : names) {
        for (const auto& entry : mapping.entries(name)) {
            for (const auto& [entry_mode, repository] : entry.repositories.all())
                entries.push_back(entry_to_json(entry.layer, entry.device, entry_mode, repository));
        }
    }
    if (!context.json) print_mapping(mapping, names);
    std::size_t width = 0;
    for (const auto& name : names)
        width = std::max(width, name.size());
    Json choices = Json::array();
    for (const auto& place : places) {
        const std::string capability = place.capability ? std::to_string(*place.capability) : "";
        Json choice = {{"device", place.device.type()},
                       {"capability", place.capability ? Json(*place.capability) : Json()},
                       {"mode", mode.to_string()},
                       {"target", place.target ? Json(place.target->to_string()) : Json()},
                       {"layers", Json::array()}};
        if (!context.json) {
            std::printf("\nOn %s%s for %s:\n", place.device.type().c_str(),
                        capability.empty() ? "" : (" of capability " + capability).c_str(),
                        mode.to_string().c_str());
        }
        for (const auto& name : names) {
            const auto outcome = outcome_for(name, mapping, place, mode, disabled, cache, check);
            if (context.json) {
                choice["layers"].push_back(to_json(outcome, arguments));
            } else {
                print_outcome(outcome, width, context);
            }
        }
        choices.push_back(std::move(choice));
        if (!place.target && !context.json) {
            std::printf(
                "  (this machine is no such device: name one with --target to see which builds fit)\n");
        }
    }
    if (context.json)
        print_json({{"file", project.file.string()}, {"mapping", entries}, {"choices", choices}});
    return 0;
}

}  // namespace kernels::app
