#include "targets.hpp"

#include "kernels/build/selection.hpp"
#include "kernels/core/log.hpp"

namespace kernels::app {

std::vector<build::Target> targets_from(const Context& context, const std::filesystem::path& folder) {
    std::vector<build::Target> targets;
    for (const auto& spec : context.arguments.values("--target"))
        targets.push_back(build::Target::parse(spec));
    if (targets.empty()) targets.push_back(build::detect(context.detect_options(folder)).target);
    return targets;
}

build::Selection decide(std::span<const build::BuildVariant> variants, const build::Target& target,
                        const build::DeviceFitOf& fit_of) {
    auto selection = build::select(variants, target);
    build::refuse_for_device(
        selection, target, [&](const build::BuildVariant& variant, const build::Target& device) {
            try {
                return fit_of(variant, device);
            } catch (const Error& error) {
                if (error.code() == ErrorCode::interrupted) throw;
                log::warning(variant.to_string() +
                             ": whether it has code for the device is not known: " + error.what());
                return build::DeviceFit{};
            }
        });
    return selection;
}

nlohmann::ordered_json targets_to_json(std::span<const build::BuildVariant> variants,
                                       std::span<const build::Target> targets,
                                       const build::DeviceFitOf& fit_of) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const auto& target : targets) {
        const auto selection = decide(variants, target, fit_of);
        nlohmann::ordered_json builds = nlohmann::ordered_json::array();
        for (const auto& decision : selection.decisions) {
            nlohmann::ordered_json build = {{"variant", decision.variant.to_string()},
                                            {"fits", decision.accepted()}};
            if (decision.rejection) {
                build["reason"] = build::to_string(decision.rejection->reason);
                build["text"] = decision.rejection->text;
            }
            builds.push_back(std::move(build));
        }
        nlohmann::ordered_json entry = {
            {"target", target.to_string()}, {"preferred", nullptr}, {"builds", builds}};
        if (selection.best() != nullptr) entry["preferred"] = selection.best()->to_string();
        list.push_back(std::move(entry));
    }
    return list;
}

}  // namespace kernels::app
