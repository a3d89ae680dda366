// Names and conditions of a module whose values can be told without running it.
#include <set>

#include "finished_class.hpp"
#include "kernels/core/text.hpp"
#include "tokens.hpp"

namespace kernels::source {
namespace {

constexpr int deepest_constant = 12;  // each level may ask twice for the next

Truth known(bool value) {
    return {value ? Truth::Kind::yes : Truth::Kind::no, {}};
}

Symbol resolve(const Package& package, const Module& module, const Expression& expression, int depth) {
    if (depth > deepest_constant) return {};
    Symbol found;
    if (expression.kind == Expression::Kind::name) {
        found = package.lookup(module, expression.text);
    } else if (expression.kind == Expression::Kind::attribute) {
        found = package.attribute(resolve(package, module, expression.part(0), depth + 1), expression.text);
    }
    const bool alias =
        found.kind == Symbol::Kind::value && found.value != nullptr &&
        (found.value->kind == Expression::Kind::name || found.value->kind == Expression::Kind::attribute);
    return alias ? resolve(package, *found.module, *found.value, depth + 1) : found;
}

Truth truth(const Package& package, const Module& module, const Expression& value, int depth) {
    using Value = Expression::Kind;
    const Truth unknown{Truth::Kind::unknown, "its value" + at_line(value.line) + " is no constant"};
    if (depth > deepest_constant) return unknown;
    switch (value.kind) {
        case Value::constant:
            return known(value.text == "True" || value.text == "...");
        case Value::number:
            return known(value.text.find_first_of("123456789") != std::string::npos);
        case Value::string:
            return known(!value.text.empty());
        case Value::unary: {
            if (value.text != "not") return unknown;
            Truth inner = truth(package, module, value.part(0), depth + 1);
            if (inner.kind != Truth::Kind::unknown) inner = known(inner.kind == Truth::Kind::no);
            return inner;
        }
        case Value::boolean: {
            const Truth left = truth(package, module, value.part(0), depth + 1);
            const auto decides = value.text == "or" ? Truth::Kind::yes : Truth::Kind::no;
            if (left.kind == decides) return left;
            Truth right = truth(package, module, value.part(1), depth + 1);
            return left.kind == Truth::Kind::unknown && right.kind != decides ? left : right;
        }
        case Value::name:
        case Value::attribute: {
            if (dotted(value) == "TYPE_CHECKING" || dotted(value) == "typing.TYPE_CHECKING")
                return known(false);
            // One step at a time: an alias may lead to a value, which has its own module.
            const Symbol found =
                value.kind == Value::name
                    ? package.lookup(module, value.text)
                    : package.attribute(resolve(package, module, value.part(0), depth + 1), value.text);
            if (found.kind == Symbol::Kind::undecided)
                return {Truth::Kind::unknown, dotted(value) + ": " + found.path};
            if (found.kind == Symbol::Kind::function || found.kind == Symbol::Kind::class_ ||
                found.kind == Symbol::Kind::module) {
                return known(true);
            }
            if (found.kind != Symbol::Kind::value || found.value == nullptr) {
                return {Truth::Kind::unknown, (dotted(value).empty() ? "its value" : dotted(value)) +
                                                  at_line(value.line) + " is no constant of the package"};
            }
            return truth(package, *found.module, *found.value, depth + 1);
        }
        default:
            return unknown;
    }
}

}  // namespace

Truth truth(const Package& package, const Module& module, const Expression& value) {
    return truth(package, module, value, 0);
}

Symbol resolve(const Package& package, const Module& module, const Expression& expression) {
    return resolve(package, module, expression, 0);
}

Symbol named(const Package& package, const Module& module, const std::string& name) {
    Symbol found = package.lookup(module, name);
    std::set<const Expression*> seen;
    while (found.kind == Symbol::Kind::value) {
        const std::string path = dotted(*found.value);
        if (path.empty()) break;
        Symbol undecided = found;
        undecided.kind = Symbol::Kind::undecided;
        if (!seen.insert(found.value).second) {
            undecided.path = "it stands for itself" + at_line(found.line);
            return undecided;
        }
        const auto names = split(path, '.');
        const std::string root(names.front());
        const auto bound = found.module->bindings.find(root);
        if (bound != found.module->bindings.end() && bound->second.statement->line > found.line) {
            undecided.path = "it is " + backquoted(path) + at_line(found.line) + ", and " + backquoted(root) +
                             " is bound after that" + at_line(bound->second.statement->line);
            return undecided;
        }
        Symbol next = package.lookup(*found.module, root);
        for (std::size_t i = 1; i < names.size(); ++i)
            next = package.attribute(next, std::string(names[i]));
        if (next.kind == Symbol::Kind::none) break;
        found = std::move(next);
    }
    return found;
}

}  // namespace kernels::source
