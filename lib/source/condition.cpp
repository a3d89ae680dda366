// Conditions, of which only the truth counts.
#include <utility>
#include <vector>

#include "expression_printer.hpp"
#include "none_tests.hpp"

namespace kernels::source {
namespace {

std::string printed(const Expression& e, const Scope& scope, const NoneTests& tests);

// TorchScript takes bools, numbers and tensors for conditions.
std::string one(const Expression& e, const Scope& scope, const NoneTests& tests) {
    const bool variable = e.kind == Expr::name || e.kind == Expr::attribute || e.kind == Expr::subscript;
    std::string text = variable ? print_truth(e, scope) : print(e, scope);
    // It cannot fail, and libtorch learns a type from it.
    if (is_none_test(e) && e.part(0).kind == Expr::name) return text;
    return tests.tests(e) ? tests.behind(e, "(True if " + text + " else False)") : text;
}

// `a and b and c` from left to right; what is decided without libtorch's compiler is left out.
std::string joined(const Expression& e, const Scope& scope, NoneTests tests) {
    const auto sides = sides_of(e);
    const bool is_and = e.text == "and";
    std::string text;
    for (auto side = sides.begin(); side != sides.end(); ++side) {
        const auto known = known_truth(**side, scope);
        const bool last = side + 1 == sides.end();
        if (known == is_and && !(last && text.empty())) continue;
        const std::string next = known ? (*known ? "True" : "False") : printed(**side, scope, tests);
        text = text.empty() ? next : "(" + text + " " + e.text + " " + next + ")";
        if (known) break;
        tests.learn(**side, is_and);
    }
    return text;
}

std::string printed(const Expression& e, const Scope& scope, const NoneTests& tests) {
    if (e.kind == Expr::boolean) return joined(e, scope, tests);
    if (e.is(Expr::unary, "not")) return "(not (" + printed(e.part(0), scope, tests) + "))";
    return one(e, scope, tests);
}

}  // namespace

std::string print_condition(const Expression& expression, const Scope& scope) {
    return printed(expression, scope, NoneTests(scope));
}

}  // namespace kernels::source
