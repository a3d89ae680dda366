#include "targets.hpp"

#include <algorithm>
#include <utility>

#include "kernels/build/selection.hpp"
#include "kernels/core/log.hpp"

namespace kernels::app {

std::vector<build::Target> targets_from(const Context& context, const std::filesystem::path& folder) {
    std::vector<build::Target> targets;
    for (const auto& spec : context.arguments.values("--target")) {
        auto target = context.named_target(spec, {}, folder);
        const auto is_same = [&](const build::Target& other) {
            return other.to_string() == target.to_string();
        };
        if (std::none_of(targets.begin(), targets.end(), is_same)) targets.push_back(std::move(target));
    }
    if (targets.empty()) targets.push_back(build::detect(context.detect_options(folder)).target);
    return targets;
}

bool names_targets(const Context& context) {
    return context.arguments.has("--target") || context.arguments.has("--torch");
}

build::DeviceFitOf unless_skipped(const Context& context, build::DeviceFitOf fit_of) {
    return context.arguments.has("--no-device-check") ? build::DeviceFitOf() : std::move(fit_of);
}

build::Selection decide(std::span<const build::BuildVariant> variants, const build::Target& target,
                        const build::DeviceFitOf& fit_of) {
    auto selection = build::select(variants, target);
    if (!fit_of) return selection;
    build::refuse_for_device(
        selection, target, [&](const build::BuildVariant& variant, const build::Target& device) {
            try {
                auto fit = fit_of(variant, device);
                build::warn_of_caution(fit, variant.to_string());
                return fit;
            } catch (const Error& error) {
                if (error.code() == ErrorCode::interrupted) throw;
                log::warning(variant.to_string() +
                             ": whether it has code for the device is not known: " + error.what());
                return build::DeviceFit{};
            }
        });
    return selection;
}

std::vector<build::Suggestion> suggestions_for(const build::Selection& selection, const build::Target& target,
                                               const build::DeviceFitOf& fit_of,
                                               const OtherVersions& others) {
    if (selection.best() != nullptr) return {};
    return build::suggest(selection, target, others ? others() : std::vector<build::OtherVersion>(),
                          fit_of ? build::if_known(fit_of) : fit_of);
}

nlohmann::ordered_json targets_to_json(std::span<const build::BuildVariant> variants,
                                       std::span<const build::Target> targets,
                                       const build::DeviceFitOf& fit_of, const OtherVersions& others) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const auto& target : targets) {
        const auto selection = decide(variants, target, fit_of);
        nlohmann::ordered_json builds = nlohmann::ordered_json::array();
        for (const auto& decision : build::as_told(selection, target)) {
            nlohmann::ordered_json build = {{"variant", decision.variant.to_string()},
                                            {"fits", decision.accepted()}};
            if (decision.device_unknown) build["device"] = "unknown";
            if (decision.rejection) {
                build["reason"] = build::to_string(decision.rejection->reason);
                build["text"] = decision.rejection->text;
            }
            builds.push_back(std::move(build));
        }
        nlohmann::ordered_json entry = {
            {"target", target.to_string()}, {"preferred", nullptr}, {"builds", builds}};
        if (selection.best() != nullptr) entry["preferred"] = selection.best()->to_string();
        for (const auto& [kind, value, variant, text] : suggestions_for(selection, target, fit_of, others)) {
            entry["suggestions"].push_back(
                {{"kind", build::to_string(kind)}, {"value", value}, {"variant", variant}, {"text", text}});
        }
        list.push_back(std::move(entry));
    }
    return list;
}

}  // namespace kernels::app
