#include "tensor_method.hpp"

#include "tokens.hpp"

namespace kernels::source {
namespace {

// TorchScript's dtypes are numbers.
constexpr const char* dtype_bool = "11";
constexpr const char* dtype_bfloat16 = "15";

std::string new_tensor(const Expression& call, const Scope& scope) {
    std::string text = "hub_new_tensor(" + print(call.part(0).part(0), scope);
    for (std::size_t i = 1; i < call.parts.size(); ++i) {
        const Expression& argument = call.part(i);
        const bool keyword = argument.kind == Expr::keyword;
        if (argument.kind == Expr::star || argument.kind == Expr::double_star)
            refuse(scope.function.file(), call.line, "new_tensor with arguments that are not written out");
        text +=
            ", " + (keyword ? argument.text + "=" + print(argument.part(0), scope) : print(argument, scope));
    }
    return text + ")";
}

// A function of a module is no method.
bool is_of_module(const Expression& callee, const Scope& scope) {
    const Expression* root = &callee;
    while (root->kind == Expr::attribute)
        root = &root->part(0);
    return root->kind == Expr::name && !scope.locals.contains(root->text);
}

}  // namespace

std::string print_tensor_method(const Expression& call, const Scope& scope) {
    const Expression& callee = call.part(0);
    if (callee.kind != Expr::attribute || is_of_module(callee, scope)) return {};
    if (callee.text == "new_tensor") return new_tensor(call, scope);
    const auto of = [&](const std::string& method) {
        return "(" + print(callee.part(0), scope) + ")." + method;
    };
    // In TorchScript the dtype has no name: its only view is the one with a size.
    if (callee.text == "view" && call.parts.size() == 2 && call.part(1).is(Expr::keyword, "dtype"))
        return of("view(" + print(call.part(1).part(0), scope) + ")");
    if (call.parts.size() != 1) return {};
    if (callee.text == "nelement") return of("numel()");
    const char* dtype = callee.text == "bool"       ? dtype_bool
                        : callee.text == "bfloat16" ? dtype_bfloat16
                                                    : nullptr;
    return dtype == nullptr ? "" : of("to(" + std::string(dtype) + ")");
}

}  // namespace kernels::source
