#include "decorators.hpp"

#include <algorithm>
#include <set>

#include "kernels/core/text.hpp"
#include "tokens.hpp"

namespace kernels::source {

namespace {

// `@name` and `@name(…)` alike.
const Expression& callee_of(const Expression& decorator) {
    return decorator.kind == Expr::call ? decorator.part(0) : decorator;
}

}  // namespace

std::string kernel_language(const FunctionSource& function) {
    for (const auto& decorator : function.definition->decorators) {
        const Expression& callee = callee_of(*decorator);
        std::string path = external_path(*function.package, *function.module, callee);
        if (path.empty()) path = dotted(callee);
        const std::string root = path.substr(0, path.find('.'));
        if (root == "triton") return path.find("gluon") == std::string::npos ? "Triton" : "Gluon";
        if (root == "gluon") return "Gluon";
        if (root == "tilelang" || root == "T") return "TileLang";
        if (root == "cute" || root == "cutlass") return "CuTe DSL";
        if (root == "numba" || root == "tinygrad") return root;
    }
    return {};
}

bool runs_without_grad(const FunctionSource& function) {
    const auto& decorators = function.definition->decorators;
    return std::any_of(decorators.begin(), decorators.end(), [](const auto& decorator) {
        const std::string name = dotted(callee_of(*decorator));
        return name.ends_with("no_grad") || name.ends_with("inference_mode");
    });
}

void require_harmless_decorators(const FunctionSource& function, const Scope& scope) {
    static const std::set<std::string> harmless = {"staticmethod",
                                                   "compile",
                                                   "disable",
                                                   "allow_in_graph",
                                                   "ignore",
                                                   "unused",
                                                   "lru_cache",
                                                   "cache",
                                                   "custom_fwd",
                                                   "once_differentiable",
                                                   "override",
                                                   "final",
                                                   "custom_op",
                                                   "triton_op",
                                                   "no_grad",
                                                   "inference_mode",
                                                   "overload",
                                                   "use_kernel_forward_from_hub",
                                                   "use_kernel_func_from_hub",
                                                   "no_type_check",
                                                   "deprecated",
                                                   "nonstrict_trace"};
    for (const auto& decorator : function.definition->decorators) {
        const Expression& callee = callee_of(*decorator);
        std::string path = scope.path(callee);
        if (path.empty()) path = dotted(callee);
        const std::string last = path.substr(path.rfind('.') + 1);
        const bool casts = decorator->kind == Expr::call && last == "custom_fwd" &&
                           std::any_of(decorator->parts.begin() + 1, decorator->parts.end(),
                                       [](const auto& part) { return part->text == "cast_inputs"; });
        if (!harmless.contains(last) || casts) {
            refuse(function.file(), decorator->line,
                   "the decorator @" + (path.empty() ? "…" : path) + " of " + backquoted(function.name()) +
                       " may change what it does");
        }
    }
}

}  // namespace kernels::source
