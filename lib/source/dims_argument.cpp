#include "dims_argument.hpp"

#include <algorithm>
#include <set>

#include "tokens.hpp"

namespace kernels::source {
namespace {

bool calls_builtin(const Expression& e, const char* name, const Scope& scope) {
    return e.kind == Expr::call && e.part(0).is(Expr::name, name) && !scope.locals.contains(name) &&
           !scope.imports.contains(name) && !scope.function.module->bindings.contains(name) &&
           std::none_of(e.parts.begin() + 1, e.parts.end(), [](const auto& part) {
               return part->kind == Expr::keyword || part->kind == Expr::star ||
                      part->kind == Expr::double_star;
           });
}

// Methods of tensors, and torch's functions, that take dimensions and give a tensor.
bool takes_dims(const Expression& callee, const Scope& scope) {
    static const std::set<std::string> names = {
        "sum",     "mean",      "amax", "amin",    "var", "std", "permute", "flip",         "nansum",
        "nanmean", "logsumexp", "norm", "squeeze", "all", "any", "movedim", "count_nonzero"};
    if (callee.kind != Expr::attribute || !names.contains(callee.text)) return false;
    return scope.path(callee) == "torch." + callee.text ||
           (scope.path(callee).empty() && !callee.part(0).is(Expr::name, "self"));
}

// Calls visit for each argument of the call that is dimensions.
template <typename Visit>
void for_each_dims(const Expression& call, const Scope& scope, const Visit& visit) {
    if (call.kind != Expr::call || !takes_dims(call.part(0), scope)) return;
    for (std::size_t i = 1; i < call.parts.size(); ++i) {
        const Expression& argument = call.part(i);
        if (argument.kind != Expr::keyword) visit(argument);
        if (argument.kind == Expr::keyword && (argument.text == "dim" || argument.text == "dims"))
            visit(argument.part(0));
    }
}

}  // namespace

bool is_tuple_of_dims(const Expression& e, const Scope& scope) {
    if (!calls_builtin(e, "tuple", scope) || e.parts.size() != 2 || !calls_builtin(e.part(1), "range", scope))
        return false;
    const auto named =
        std::find_if(scope.once.begin(), scope.once.end(), [&](const auto& one) { return one.second == &e; });
    const std::string name = named == scope.once.end() ? "" : named->first;
    bool given = false;
    std::size_t uses = 0;
    std::size_t of_dims = 0;
    for_each_expression(scope.function.definition->body, [&](const Expression& one) {
        if (!name.empty() && one.is(Expr::name, name)) ++uses;
        for_each_dims(one, scope, [&](const Expression& dims) {
            given = given || &dims == &e;
            if (!name.empty() && dims.is(Expr::name, name)) ++of_dims;
        });
    });
    return given || (of_dims > 0 && uses == of_dims + 1);  // and the place that it gets its value at
}

std::string print_listed_range(const Expression& e, const Scope& scope) {
    return calls_builtin(e, "range", scope) ? "[hub_i for hub_i in " + print(e, scope) + "]" : "";
}

}  // namespace kernels::source
