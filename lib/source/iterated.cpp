#include "iterated.hpp"

#include <set>

namespace kernels::source {

bool is_reversed(const Expression& e, const Scope& scope) {
    return e.kind == Expr::call && e.part(0).is(Expr::name, "reversed") && e.parts.size() == 2 &&
           !scope.locals.contains("reversed") && e.part(1).kind != Expr::keyword &&
           e.part(1).kind != Expr::star;
}

bool goes_through(const Expression& callee, const Scope& scope) {
    static const std::set<std::string> names = {"list", "enumerate", "zip", "sum", "max",
                                                "min",  "sorted",    "any", "all"};
    return callee.kind == Expr::name && names.contains(callee.text) && !scope.locals.contains(callee.text);
}

std::string print_iterated(const Expression& e, const Scope& scope) {
    if (!is_reversed(e, scope)) return print(e, scope);
    const Expression& forwards = e.part(1);
    const bool range = forwards.kind == Expr::call && forwards.part(0).is(Expr::name, "range") &&
                       !scope.locals.contains("range");
    const std::string text = print(forwards, scope);
    return "hub_reversed(" + (range ? "[hub_i for hub_i in " + text + "]" : text) + ")";
}

}  // namespace kernels::source
