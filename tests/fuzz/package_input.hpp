// One input of the fuzzers: a package. A line "#file NAME" begins a file; what stands before the first is
// layers.py.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "accepted.hpp"
#include "source/hub_module.hpp"
#include "source/lower.hpp"

namespace kernels::fuzz {

inline std::shared_ptr<source::Package> package_of(std::string_view input) {
    constexpr std::string_view mark = "#file ";
    auto files = std::make_shared<std::map<std::string, std::string>>();
    std::string* file = &(*files)["layers.py"];
    while (!input.empty()) {
        const auto end = std::min(input.find('\n'), input.size() - 1) + 1;
        const std::string_view line = input.substr(0, end);
        if (line.starts_with(mark)) {
            file = &(*files)[std::string(
                line.substr(mark.size(), line.size() - mark.size() - (line.ends_with('\n') ? 1 : 0)))];
        } else {
            *file += line;
        }
        input.remove_prefix(end);
    }
    return std::make_shared<source::Package>(
        "package", [files](const std::string& name) -> std::optional<std::string> {
            const auto known = files->find(name);
            return known == files->end() ? std::nullopt : std::optional(known->second);
        });
}

/// Plans that give every parameter a value.
inline std::vector<source::ParameterPlan> plans_of(const source::FunctionSource& function) {
    std::vector<source::ParameterPlan> plans;
    const auto& parameters = function.definition->parameters;
    for (std::size_t i = function.method || function.context ? 1 : 0; i < parameters.size(); ++i) {
        if (parameters[i].stars != 0) continue;
        source::ParameterPlan plan;
        plan.name = parameters[i].name;
        plan.given = parameters[i].value == nullptr;
        plans.push_back(plan);
    }
    return plans;
}

}  // namespace kernels::fuzz
