#include "tensor_method.hpp"

namespace kernels::source {

std::string print_tensor_method(const Expression& call, const Scope& scope) {
    const Expression& callee = call.part(0);
    if (callee.kind != Expr::attribute || dotted(callee.part(0)).empty()) return {};
    if (callee.text == "nelement" && call.parts.size() == 1) return print(callee.part(0), scope) + ".numel()";
    if (callee.text != "new_tensor" || call.parts.size() < 2 || call.part(1).kind == Expr::keyword ||
        call.part(1).kind == Expr::star)
        return {};
    const std::string tensor = print(callee.part(0), scope);
    std::string text = "hub_torch_tensor(" + print(call.part(1), scope);
    bool dtype = false;
    bool device = false;
    for (std::size_t i = 2; i < call.parts.size(); ++i) {
        const Expression& argument = call.part(i);
        if (argument.kind != Expr::keyword) return {};
        dtype = dtype || argument.text == "dtype";
        device = device || argument.text == "device";
        text += ", " + argument.text + "=" + print(argument.part(0), scope);
    }
    return text + (dtype ? "" : ", dtype=" + tensor + ".dtype") +
           (device ? "" : ", device=" + tensor + ".device") + ")";
}

}  // namespace kernels::source
