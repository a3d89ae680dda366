#include "boolean_value.hpp"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <vector>

#include "none_tests.hpp"

namespace kernels::source {
namespace {

// What may be computed although Python does not, or twice: it changes nothing and cannot fail.
bool is_harmless(const Expression& e) {
    switch (e.kind) {
        case Expr::name:
        case Expr::number:
        case Expr::string:
        case Expr::constant:
            return true;
        case Expr::attribute:
            return !dotted(e).empty();
        case Expr::unary:
            return e.part(0).kind == Expr::number;
        case Expr::tuple:
        case Expr::list:
            return std::all_of(e.parts.begin(), e.parts.end(),
                               [](const auto& part) { return is_harmless(*part); });
        default:
            return false;
    }
}

// The truth of what is written out.
std::optional<bool> written_truth(const Expression& e, const Scope& scope) {
    switch (e.kind) {
        case Expr::number:
            return std::strtod(e.text.c_str(), nullptr) != 0;
        case Expr::string:
            return !e.text.empty();
        case Expr::tuple:
        case Expr::list:
        case Expr::dictionary:
            if (std::any_of(e.parts.begin(), e.parts.end(),
                            [](const auto& part) { return part->kind == Expr::star; }))
                return std::nullopt;
            return !e.parts.empty();
        default:
            return known_truth(e, scope);
    }
}

// Python makes a bool of it, whatever its parts are.
bool is_bool(const Expression& e) {
    if (e.kind == Expr::compare)
        return e.text == "is" || e.text == "is not" || e.text == "in" || e.text == "not in";
    if (e.kind == Expr::call && e.part(0).kind == Expr::name)
        return e.part(0).text == "isinstance" || e.part(0).text == "hasattr" || e.part(0).text == "bool";
    return e.is(Expr::unary, "not") || e.is(Expr::constant, "True") || e.is(Expr::constant, "False");
}

class Sides {
  public:
    Sides(std::vector<const Expression*> all, std::string by, const Scope& in)
        : sides(std::move(all)), op(std::move(by)), scope(in) {}

    std::string value(std::size_t at) const {
        const Expression& first = *sides[at];
        if (at + 1 == sides.size()) return print(first, scope);
        if (const auto truth = written_truth(first, scope)) {
            if (*truth == (op == "or")) return print(first, scope);
            if (is_harmless(first)) return value(at + 1);
        }
        // Only of a variable TorchScript remembers that it is not None.
        if (first.kind == Expr::name) {
            const std::string name = print(first, scope);
            return choice(name, "(" + name + " is not (None) and " + print_truth(first, scope) + ")", at);
        }
        if (is_bool(first)) return "(" + print_condition(first, scope) + " " + op + " " + rest_of(at) + ")";
        if (std::all_of(sides.begin() + static_cast<std::ptrdiff_t>(at) + 1, sides.end(),
                        [](const auto* side) { return is_harmless(*side); }))
            return "hub_" + op + "(" + print(first, scope) + ", " + value(at + 1) + ")";
        if (is_harmless(first)) {
            const std::string text = print(first, scope);
            return choice("hub_some(" + text + ")", print_truth(first, scope), at);
        }
        return "(hub_bool(" + print(first, scope) + ") " + op + " " + rest_of(at) + ")";
    }

  private:
    // What is behind a bool.
    std::string rest_of(std::size_t at) const {
        NoneTests tests(scope);
        tests.learn(*sides[at], op == "and");
        const std::string rest = "hub_bool(" + value(at + 1) + ")";
        for (std::size_t i = at + 1; i < sides.size(); ++i)
            if (tests.tests(*sides[i])) return tests.behind(*sides[i], rest);
        return rest;
    }

    std::string choice(const std::string& first, const std::string& truth, std::size_t at) const {
        const std::string rest = value(at + 1);
        return "(" + (op == "or" ? first : rest) + " if " + truth + " else " + (op == "or" ? rest : first) +
               ")";
    }

    std::vector<const Expression*> sides;
    std::string op;
    const Scope& scope;
};

}  // namespace

std::string print_boolean_value(const Expression& expression, const Scope& scope) {
    return Sides(sides_of(expression), expression.text, scope).value(0);
}

}  // namespace kernels::source
