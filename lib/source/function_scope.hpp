// What the body of a function binds and assigns.
#pragma once

#include "expression_printer.hpp"
#include "hub_module.hpp"

namespace kernels::source {

/// Calls visit for what is assigned to in the body.
template <typename Visit>
void for_each_target(const Block& body, const Visit& visit) {
    for_each_statement(body, [&](const Statement& statement) {
        if (statement.kind == Statement::Kind::assign) {
            for (std::size_t i = 0; i + 1 < statement.values.size(); ++i)
                visit(statement.value(i));
        } else if (statement.kind == Statement::Kind::augment ||
                   statement.kind == Statement::Kind::annotate || statement.kind == Statement::Kind::for_) {
            visit(statement.value(0));
        }
    });
}

/// The names that the body of the function binds. Throws Error(kernelize) when it is too large.
Scope scope_of(const FunctionSource& function);

/// Whether the body gives `name` another value.
bool assigns(const FunctionSource& function, const std::string& name);

/// Whether the body begins with `if name is None: name = …`, `name = name or …` or the like: for each call it
/// is known then which value the name has.
bool replaces_none(const FunctionSource& function, const std::string& name);

/// The parameters that are not given and keep one truth value: what they exclude is not compiled.
std::map<std::string, bool> known_flags(const FunctionSource& function,
                                        const std::vector<ParameterPlan>& parameters);

}  // namespace kernels::source
