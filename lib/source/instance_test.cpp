#include "instance_test.hpp"

#include "lower.hpp"
#include "tokens.hpp"

namespace kernels::source {
namespace {

// As far as it is written there.
bool is_dtype(const Expression& e, const Scope& scope) {
    const bool is_name = e.kind == Expr::name || e.kind == Expr::attribute;
    return is_name && ((e.kind == Expr::attribute && e.text == "dtype") ||
                       (scope.path(e).starts_with("torch.") && dotted(e) != "torch"));
}

}  // namespace

std::string print_instance_test(const Expression& call, const Scope& scope) {
    const Expression& types = call.part(2);
    if (is_dtype(call.part(1), scope))
        refuse(scope.function.file(), call.line, "isinstance of a dtype, which is a number in TorchScript");
    std::string text;
    bool whole = false;
    const auto append = [&](const Expression& type) {
        const std::string name = type_name(*scope.function.package, *scope.function.module, type);
        const std::string path = scope.path(type);
        const bool is_narrower =
            name == "Tensor" && !path.empty() && path != name && !path.ends_with(".Tensor");
        if (name.empty() || is_narrower)
            refuse(scope.function.file(), call.line, "isinstance with a type that TorchScript has not");
        whole = whole || name == "int";
        text += (text.empty() ? "" : ", ") + name;
    };
    if (types.kind != Expr::tuple) {
        append(types);
        if (!whole) return "isinstance(" + print(call.part(1), scope) + ", " + text + ")";
    } else {
        for (const auto& type : types.parts)
            append(*type);
    }
    if (whole) text += ", bool";  // which in Python are whole numbers too
    return "isinstance(" + print(call.part(1), scope) + ", (" + text + ",))";
}

}  // namespace kernels::source
