#include "targets.hpp"

#include "kernels/build/environment.hpp"
#include "kernels/build/selection.hpp"

namespace kernels::app {

std::vector<build::Target> targets_from(const Context& context, const std::filesystem::path& folder) {
    std::vector<build::Target> targets;
    for (const auto& spec : context.arguments.values("--target"))
        targets.push_back(build::Target::parse(spec));
    if (targets.empty())
        targets.push_back(build::detect({context.arguments.value("--torch"), folder}).target);
    return targets;
}

nlohmann::ordered_json targets_to_json(std::span<const build::BuildVariant> variants,
                                       std::span<const build::Target> targets) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const auto& target : targets) {
        const auto selection = build::select(variants, target);
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
