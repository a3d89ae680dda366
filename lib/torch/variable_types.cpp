#include "variable_types.hpp"

#include <torch/csrc/jit/frontend/script_type_parser.h>

#include <regex>

#include "source/function_scope.hpp"

namespace kernels::torchscript {
namespace {

// nullptr for a type that has no spelling, such as a class.
c10::TypePtr parsed(const std::string& spelling) {
    try {
        return torch::jit::ScriptTypeParser().parseType(spelling);
    } catch (const std::exception&) {
        return nullptr;
    }
}

// A type that holds values of both; empty when there is none.
c10::TypePtr wider(const std::string& first, const std::string& then) {
    const std::string none = "NoneType";
    const auto type = parsed(first == none ? then : first);
    if (type == nullptr) return nullptr;
    if (first == none || then == none) return c10::OptionalType::create(type);
    const auto other = parsed(then);
    return other != nullptr && type->isSubtypeOf(*other) ? other : nullptr;
}

}  // namespace

bool declare_wider(HubCompilation& compilation, const source::FunctionSource& function,
                   const std::string& message, source::Declared& declared) {
    static const std::regex change(
        R"re(Variable '(\w+)' previously had type ([^\n]*\S) but is now being assigned to a value of type ([^\n]*[^\s:]))re");
    std::smatch match;
    const std::string head = message.substr(0, 4000);
    if (!std::regex_search(head, match, change)) return false;
    const std::string name = match[1].str();
    if (declared.contains(name)) return false;
    if (!source::assigns(function, name) && !name.starts_with(source::context_variable(""))) return false;
    const auto type = wider(match[2].str(), match[3].str());
    if (type == nullptr) return false;
    declared.emplace(name, compilation.spell(type));
    return true;
}

}  // namespace kernels::torchscript
