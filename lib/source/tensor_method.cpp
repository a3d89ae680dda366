#include "tensor_method.hpp"

#include <algorithm>
#include <map>
#include <vector>

#include "arithmetic.hpp"
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

// Parameters that are floats, which TorchScript's methods take no whole numbers for; in their order, "" for
// others.
using FloatParameters = std::vector<std::string>;

const FloatParameters* float_parameters(const std::string& method) {
    static const std::map<std::string, FloatParameters> known = {{"quantile", {"q"}},
                                                                 {"nanquantile", {"q"}},
                                                                 {"nan_to_num", {"nan", "posinf", "neginf"}},
                                                                 {"nan_to_num_", {"nan", "posinf", "neginf"}},
                                                                 {"logit", {"eps"}},
                                                                 {"logit_", {"eps"}},
                                                                 {"isclose", {"", "rtol", "atol"}},
                                                                 {"allclose", {"", "rtol", "atol"}},
                                                                 {"bernoulli", {"p"}},
                                                                 {"bernoulli_", {"p"}},
                                                                 {"exponential_", {"lambd"}},
                                                                 {"uniform_", {"from", "to"}},
                                                                 {"normal_", {"mean", "std"}},
                                                                 {"log_normal_", {"mean", "std"}},
                                                                 {"cauchy_", {"median", "sigma"}}};
    const auto found = known.find(method);
    return found == known.end() ? nullptr : &found->second;
}

// The arguments with floats for whole numbers that are known; empty where there are none.
std::string with_floats(const Expression& call, const FloatParameters& floats, const Scope& scope) {
    std::string text;
    bool any = false;
    for (std::size_t i = 1; i < call.parts.size(); ++i) {
        const Expression& argument = call.part(i);
        if (argument.kind == Expr::star || argument.kind == Expr::double_star) return {};
        const bool keyword = argument.kind == Expr::keyword;
        const Expression& value = keyword ? argument.part(0) : argument;
        const bool is_float = keyword ? std::find(floats.begin(), floats.end(), argument.text) != floats.end()
                                      : i <= floats.size() && !floats[i - 1].empty();
        const auto whole = is_float ? known_whole(value, scope) : std::nullopt;
        any = any || whole;
        text += (text.empty() ? "" : ", ") + (keyword ? argument.text + "=" : "") +
                (whole ? std::to_string(*whole) + ".0" : print(value, scope));
    }
    return any ? text : "";
}

// The norm of Python's torch is one with p="fro" where none is given, which TorchScript's operator has not;
// empty where it is given or all dimensions are meant.
std::string frobenius_norm(const std::string& input, const Expression& call, std::size_t first,
                           const Scope& scope) {
    const auto is_default = [](const Expression& p) { return p.is(Expr::string, "fro"); };
    std::string text;
    bool has_dim = false;
    bool says_default = false;
    for (std::size_t i = first; i < call.parts.size(); ++i) {
        const Expression& argument = call.part(i);
        if (argument.kind == Expr::star || argument.kind == Expr::double_star) return {};
        const bool keyword = argument.kind == Expr::keyword;
        if (keyword ? argument.text == "p" : i == first) {
            if (!is_default(keyword ? argument.part(0) : argument)) return {};
            says_default = true;
            continue;
        }
        has_dim = has_dim || !keyword || argument.text == "dim";
        text +=
            ", " + (keyword ? argument.text + "=" + print(argument.part(0), scope) : print(argument, scope));
    }
    if (has_dim) return "hub_norm(" + input + text + ")";
    return says_default && text.empty() ? "(" + input + ").norm()" : "";
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
    if (callee.kind != Expr::attribute) return {};
    if (callee.text == "norm" && scope.path(callee) == "torch.norm" && call.parts.size() > 1 &&
        call.part(1).kind != Expr::keyword && call.part(1).kind != Expr::star)
        return frobenius_norm(print(call.part(1), scope), call, 2, scope);
    if (is_of_module(callee, scope)) return {};
    if (callee.text == "norm" && !callee.part(0).is(Expr::name, "self"))
        return frobenius_norm(print(callee.part(0), scope), call, 1, scope);
    if (callee.text == "new_tensor") return new_tensor(call, scope);
    const auto of = [&](const std::string& method) {
        return "(" + print(callee.part(0), scope) + ")." + method;
    };
    // In TorchScript the dtype has no name: its only view is the one with a size.
    if (callee.text == "view" && call.parts.size() == 2 && call.part(1).is(Expr::keyword, "dtype"))
        return of("view(" + print(call.part(1).part(0), scope) + ")");
    if (const auto* floats = float_parameters(callee.text)) {
        const std::string arguments = with_floats(call, *floats, scope);
        return arguments.empty() ? "" : of(callee.text + "(" + arguments + ")");
    }
    if (call.parts.size() != 1) return {};
    if (callee.text == "nelement") return of("numel()");
    const char* dtype = callee.text == "bool"       ? dtype_bool
                        : callee.text == "bfloat16" ? dtype_bfloat16
                                                    : nullptr;
    return dtype == nullptr ? "" : of("to(" + std::string(dtype) + ")");
}

}  // namespace kernels::source
