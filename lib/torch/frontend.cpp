#include "frontend.hpp"

#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/lower_tuples.h>

#include <regex>

#include "as_in_python.hpp"
#include "compile_reason.hpp"
#include "graph_calls.hpp"
#include "hub_compilation.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "module_values.hpp"
#include "parameter_types.hpp"
#include "python_meaning.hpp"
#include "source/decorators.hpp"
#include "source/function_scope.hpp"
#include "torch_names.hpp"
#include "variable_types.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;
using source::ParameterPlan;

// "File …, line …" in TorchScript's message says where.
std::string reason(const std::string& message, const FunctionSource& function) {
    static const std::regex where(R"re(File "([^"\n]*)", line (\d+))re");
    const std::string text = compile_reason(message);
    std::smatch match;
    const std::string head = message.substr(0, 4000);
    if (std::regex_search(head, match, where)) return match[1].str() + ":" + match[2].str() + ": " + text;
    return function.file() + ":" + std::to_string(function.line()) + ": " + text;
}

// What is refused for no place in particular is so for the function.
std::string with_place(const std::string& why, const FunctionSource& function) {
    static const std::regex placed(R"re(^[^\n:]+:\d+: )re");
    if (std::regex_search(why.substr(0, 4000), placed)) return why;
    std::string text = why;
    if (text.starts_with(unknown_place)) text.erase(0, std::string_view(unknown_place).size() + 2);
    return function.file() + ":" + std::to_string(function.line()) + ": " + text;
}

// "file:line: why" with the function that the line is in.
std::string with_function(const std::string& why, const FunctionSource& function) {
    const auto colon = why.find(':');
    const auto space = why.find(": ", colon + 1);
    if (colon == std::string::npos || space == std::string::npos) return why;
    const std::string line = why.substr(colon + 1, space - colon - 1);
    if (line.empty() || line.size() > 8 || line.find_first_not_of("0123456789") != std::string::npos)
        return why;
    const std::string name = function.package->function_at(why.substr(0, colon), std::stoi(line));
    // Who was named need not be named again.
    if (name.empty() || why.find(backquoted(name.substr(name.rfind('.') + 1))) != std::string::npos)
        return why;
    return why.substr(0, space) + ": in " + backquoted(name) + why.substr(space);
}

// What libtorch tells of a type for its own developers, and which is another one in each run.
std::string without_addresses(const std::string& text) {
    static const std::regex address(R"re( ?\(of Python compilation unit at: \w+\)|0x[0-9a-f]{6,})re");
    return std::regex_replace(text, address, "");
}

// libtorch warns of what is refused then.
class NoWarnings {
  private:
    struct Quiet final : c10::WarningHandler {
        void process(const c10::Warning&) override {}
    };
    Quiet m_quiet;
    c10::WarningUtils::WarningHandlerGuard m_guard{&m_quiet};
};

[[noreturn]] void rethrow(const std::exception& failure, const FunctionSource& function) {
    const auto* own = dynamic_cast<const Error*>(&failure);
    std::string why = own != nullptr ? with_place(own->what(), function) : reason(failure.what(), function);
    if (const std::string kernel = source::python_kernel_behind(function);
        !kernel.empty() && why.find(kernel) == std::string::npos)
        why += "; it leads to " + kernel;
    throw Error(ErrorCode::kernelize, with_function(without_addresses(why), function),
                own != nullptr ? own->hint() : "");
}

// The parameters without self, ctx and stars.
std::vector<ParameterPlan> plan(HubCompilation& compilation, const FunctionSource& function,
                                const std::optional<std::vector<c10::TypePtr>>& arguments) {
    std::vector<ParameterPlan> plans;
    const auto& parameters = function.definition->parameters;
    for (std::size_t i = function.method ? 1 : 0; i < parameters.size(); ++i) {
        const auto& parameter = parameters[i];
        if (parameter.stars != 0) continue;
        c10::TypePtr given;
        if (arguments && plans.size() < arguments->size()) given = (*arguments)[plans.size()];
        const bool left_out = arguments && given == nullptr && parameter.value != nullptr;
        // What the layer says of its argument holds, also where it does not fit what is replaced.
        const auto wanted = compilation.annotated(function, parameter.annotation.get());
        if (given != nullptr && wanted != nullptr && !given->isSubtypeOf(*wanted)) given = wanted;
        if (given == nullptr && !left_out) given = wanted;
        const bool none = parameter.value && parameter.value->is(source::Expression::Kind::constant, "None");
        if (given == nullptr && !left_out) given = type_by_use(compilation, function, parameter);
        if (given == nullptr && !left_out && parameter.value) given = type_of_literal(*parameter.value);
        if (given == nullptr && !left_out) given = c10::TensorType::get();
        if (!arguments && none) given = c10::OptionalType::create(given);
        plans.push_back(plan_parameter(compilation, function, parameter, given));
        plans.back().keyword_only = parameter.keyword_only;
        plans.back().optional = !arguments && parameter.value != nullptr;
        if (plans.back().optional && given->kind() == c10::TypeKind::FloatType) plans.back().type = "float";
    }
    return plans;
}

void finish(Function& compiled, HubCompilation& compilation) {
    auto graph = toGraphFunction(compiled).graph();
    inline_functions(*graph);
    compute_ones_and_zeros(*graph, compilation);
    view_by_dtype(*graph, compilation);
    LowerSimpleTuples(graph);
    EliminateDeadCode(graph);
    require_python_meaning(*graph);
    forget_dtypes(*graph);
}

void refuse_python_kernel(const FunctionSource& function) {
    if (const std::string language = source::kernel_language(function); !language.empty()) {
        throw Error(ErrorCode::kernelize, function.file() + ":" + std::to_string(function.line()) + ": " +
                                              function.name() + " is a " + language +
                                              " kernel, which TorchScript cannot call");
    }
}

}  // namespace

void compile_method(const Module& owner, const c10::ClassTypePtr& type, const std::string& method,
                    const FunctionSource& function, const CompileOptions& options) {
    const auto unit = owner._ivalue()->compilation_unit();
    auto compilation =
        std::make_shared<HubCompilation>(options.op_namespace, options.constants, options.renamed);
    compilation->set_layer(type);
    compilation->set_native(options.native);
    compilation->set_none(options.none);
    const NoWarnings quiet;
    try {
        refuse_python_kernel(function);
        auto parameters = plan(*compilation, function, options.arguments);
        // A function stands for a layer that ignores self.
        if (!function.method) parameters.insert(parameters.begin(), ParameterPlan{"hub_self"});
        const auto self = layer_self(type, *compilation);
        with_variable_types(*compilation, function, [&](const source::Declared& declared) {
            const auto lowered = source::lower(function, method, parameters, declared);
            try {
                const auto defined = unit->define(
                    type->name(), {}, {}, {definition_of(lowered, function.file(), function.line(), true)},
                    {compilation->resolver(function, lowered.imports)}, self.get());
                finish(*defined.front(), *compilation);
            } catch (...) {
                if (type->findMethod(method) != nullptr) remove_method(owner, type, method);
                throw;
            }
        });
    } catch (const std::exception& failure) {
        rethrow(failure, function);
    }
}

Function& compile_function(CompilationUnit& unit, const std::string& name, const FunctionSource& function,
                           const CompileOptions& options) {
    auto compilation =
        std::make_shared<HubCompilation>(options.op_namespace, options.constants, options.renamed);
    const NoWarnings quiet;
    try {
        refuse_python_kernel(function);
        const auto parameters = plan(*compilation, function, options.arguments);
        return with_variable_types(
            *compilation, function, [&](const source::Declared& declared) -> Function& {
                const auto lowered = source::lower(function, name, parameters, declared);
                try {
                    const auto defined =
                        unit.define(std::nullopt, {}, {},
                                    {definition_of(lowered, function.file(), function.line(), false)},
                                    {compilation->resolver(function, lowered.imports)}, nullptr);
                    finish(*defined.front(), *compilation);
                    return *defined.front();
                } catch (...) {
                    if (unit.find_function(c10::QualifiedName(name)) != nullptr)
                        unit.unsafeRemoveMethod(c10::QualifiedName(name));
                    throw;
                }
            });
    } catch (const std::exception& failure) {
        rethrow(failure, function);
    }
}

void remove_method(const Module& owner, const c10::ClassTypePtr& type, const std::string& method) {
    type->unsafeRemoveMethod(method);
    owner._ivalue()->compilation_unit()->unsafeRemoveMethod(c10::QualifiedName(*type->name(), method));
}

}  // namespace kernels::torchscript
