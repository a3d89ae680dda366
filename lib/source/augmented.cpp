#include "augmented.hpp"

#include "arithmetic.hpp"
#include "known_names.hpp"
#include "tokens.hpp"

namespace kernels::source {
namespace {

std::string checked(const Expression& expression, const Scope& scope) {
    require_equal_arithmetic(expression, scope);
    return print(expression, scope);
}

// What the lowered source calls, without the `_` of what works in place; empty where TorchScript's own
// statement means the same.
std::string function_of(const std::string& op) {
    if (op == "//") return "hub_floordiv";
    if (op == "%") return "hub_remainder";
    if (op == "<<") return "hub_lshift";
    return op == ">>" ? "hub_rshift" : number_operator(op);
}

}  // namespace

std::string print_augmented(const Statement& s, const Scope& scope) {
    const Expression& target = s.value(0);
    const std::string function = function_of(s.text.substr(0, s.text.size() - 1));
    const std::string value = checked(s.value(1), scope);
    const std::string place = checked(target, scope);
    const bool product = s.text == "@=";  // which makes a new tensor
    if (function.empty() && !product) return place + " " + s.text + " " + value;
    // It is written twice.
    for_each_expression(target, [&](const Expression& e) {
        if (e.kind == Expr::call)
            refuse(scope.function.file(), s.line, s.text + " of a place that a call gives");
    });
    if (product) return place + " = (" + place + " @ " + value + ")";
    return place + " = " + function + "_(" + place + ", " + value + ")";
}

}  // namespace kernels::source
