#include "function_scope.hpp"

#include <algorithm>

#include "kernels/core/text.hpp"
#include "lower.hpp"
#include "tokens.hpp"

namespace kernels::source {
namespace {

constexpr std::size_t largest_function = 20000;  // expressions and statements

void collect_targets(const Expression& target, std::set<std::string>& names) {
    if (target.kind == Expr::name) names.insert(target.text);
    if (target.kind == Expr::tuple || target.kind == Expr::list || target.kind == Expr::star) {
        for (const auto& part : target.parts)
            collect_targets(*part, names);
    }
}

void collect_context_values(const Expression& target, const std::string& context,
                            std::set<std::string>& names) {
    if (target.kind == Expr::attribute && target.part(0).is(Expr::name, context)) names.insert(target.text);
    if (target.kind == Expr::tuple) {
        for (const auto& part : target.parts)
            collect_context_values(*part, context, names);
    }
}

// Of the variables that get a value in one place only, that value.
std::map<std::string, const Expression*> assigned_once(const Statement& definition,
                                                       const std::set<std::string>& bound_otherwise) {
    std::map<std::string, const Expression*> values;
    std::set<std::string> several;
    for_each_target(definition.body, [&](const Expression& target) {
        std::set<std::string> names;
        collect_targets(target, names);
        for (const auto& name : names)
            if (!values.emplace(name, nullptr).second) several.insert(name);
    });
    for_each_statement(definition.body, [&](const Statement& statement) {
        const bool plain = statement.kind == Stmt::assign && statement.values.size() == 2;
        const bool annotated = statement.kind == Stmt::annotate && statement.values.size() == 3;
        if ((plain || annotated) && statement.value(0).kind == Expr::name)
            values[statement.value(0).text] = statement.values.back().get();
    });
    std::erase_if(values, [&](const auto& one) {
        return one.second == nullptr || several.contains(one.first) || bound_otherwise.contains(one.first);
    });
    return values;
}

}  // namespace

Scope scope_of(const FunctionSource& function) {
    Scope scope{function, {}, {}, {}, {}};
    const Statement& definition = *function.definition;
    std::size_t size = 0;
    for_each_statement(definition.body, [&](const Statement&) { ++size; });
    for_each_expression(definition.body, [&](const Expression& expression) {
        ++size;
        if (expression.kind == Expr::comprehension) collect_targets(expression.part(1), scope.locals);
    });
    if (size > largest_function) {
        refuse(function.file(), function.line(),
               "the function " + backquoted(function.name()) + " is too large");
    }
    for (std::size_t i = 0; i < definition.parameters.size(); ++i) {
        const auto& parameter = definition.parameters[i];
        if (i == 0 && function.context) {
            scope.context = parameter.name;
        } else if (parameter.stars == 2) {
            scope.keywords = parameter.name;
        } else {
            scope.locals.insert(parameter.name);
        }
    }
    scope.once = assigned_once(definition, scope.locals);
    for_each_target(definition.body, [&](const Expression& target) {
        collect_targets(target, scope.locals);
        if (!scope.context.empty()) collect_context_values(target, scope.context, scope.context_values);
    });
    for_each_statement(definition.body, [&](const Statement& statement) {
        if (statement.kind != Stmt::import && statement.kind != Stmt::from_import) return;
        for (std::size_t i = 0; i < statement.names.size(); ++i) {
            const auto& alias = statement.names[i];
            const std::string name = alias.as.empty() ? alias.name.substr(0, alias.name.find('.')) : alias.as;
            scope.imports[name] = function.package->imported(*function.module, statement, i);
        }
    });
    return scope;
}

bool assigns(const FunctionSource& function, const std::string& name) {
    std::set<std::string> names;
    for_each_target(function.definition->body,
                    [&](const Expression& target) { collect_targets(target, names); });
    return names.contains(name);
}

bool replaces_none(const FunctionSource& function, const std::string& name) {
    const auto& body = function.definition->body;
    return std::any_of(body.begin(), body.end(), [&](const auto& statement) {
        if (statement->kind == Stmt::assign && statement->values.size() == 2 &&
            statement->value(0).is(Expr::name, name)) {
            const Expression* value = &statement->value(1);
            while (value->is(Expr::boolean, "or"))
                value = &value->part(0);
            return value->is(Expr::name, name) && value != &statement->value(1);
        }
        if (statement->kind != Stmt::if_) return false;
        const Expression& test = statement->value(0);
        return test.is(Expr::compare, "is") && test.part(0).is(Expr::name, name) &&
               test.part(1).is(Expr::constant, "None");
    });
}

std::map<std::string, bool> known_flags(const FunctionSource& function,
                                        const std::vector<ParameterPlan>& parameters) {
    std::map<std::string, bool> flags;
    for (const auto& plan : parameters) {
        if (plan.given || assigns(function, plan.name)) continue;
        std::string value = plan.constant;
        for (const auto& one : function.definition->parameters) {
            if (value.empty() && one.name == plan.name && one.value && one.value->kind == Expr::constant)
                value = one.value->text;
        }
        if (value == "True" || value == "False") flags.emplace(plan.name, value == "True");
    }
    return flags;
}

}  // namespace kernels::source
