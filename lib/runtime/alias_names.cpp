#include "alias_names.hpp"

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace kernels::runtime {

bool writes_without_alias_name(const c10::Argument& argument) {
    const c10::AliasInfo* info = argument.alias_info();
    return info != nullptr && info->isWrite() && info->beforeSets() != info->afterSets();
}

c10::FunctionSchema with_alias_names(const c10::FunctionSchema& schema) {
    std::vector<c10::Argument> arguments;
    char letter = 'a';
    for (const auto& argument : schema.arguments()) {
        if (!writes_without_alias_name(argument)) {
            arguments.push_back(argument);
            continue;
        }
        const std::set<std::string> set = {std::string("alias::") + letter++};
        arguments.emplace_back(argument.name(), argument.type(), argument.real_type(), argument.N(),
                               argument.default_value(), argument.kwarg_only(),
                               c10::AliasInfo(true, set, set));
    }
    return schema.cloneWithArguments(std::move(arguments));
}

}  // namespace kernels::runtime
