// What is known of the names in a function before it runs.
#include "expression_printer.hpp"

namespace kernels::source {

std::string Scope::path(const Expression& expression) const {
    const std::string whole = dotted(expression);
    if (whole.empty()) return {};
    const auto dot = whole.find('.');
    const std::string root = whole.substr(0, dot);
    if (locals.contains(root)) return {};
    const auto known = imports.find(root);
    const Symbol symbol =
        known != imports.end() ? known->second : function.package->lookup(*function.module, root);
    if (symbol.kind != Symbol::Kind::external) return {};
    return symbol.path + (dot == std::string::npos ? "" : whole.substr(dot));
}

std::string context_variable(const std::string& name) {
    return "hub_context_" + name;
}

std::optional<bool> known_truth(const Expression& condition, const Scope& scope) {
    if (condition.kind == Expr::constant) return condition.text == "True";
    if (condition.is(Expr::unary, "not")) {
        const auto inner = known_truth(condition.part(0), scope);
        return inner ? std::optional(!*inner) : std::nullopt;
    }
    if (condition.kind == Expr::boolean) {
        const bool decides = condition.text == "or";
        const auto left = known_truth(condition.part(0), scope);
        if (left == decides) return decides;
        const auto right = known_truth(condition.part(1), scope);
        if (left && right == decides) return decides;
        return left && right ? std::optional(!decides) : std::nullopt;
    }
    if (condition.kind == Expr::call && condition.parts.size() == 1) {
        static const std::set<std::string> never = {
            "torch.compiler.is_compiling", "torch._dynamo.is_compiling", "torch.jit.is_scripting",
            "torch.jit.is_tracing", "torch.compiler.is_dynamo_compiling"};
        if (never.contains(scope.path(condition.part(0)))) return false;
    }
    if (condition.kind == Expr::name && scope.flags.contains(condition.text))
        return scope.flags.at(condition.text);
    if (condition.kind == Expr::name && !scope.locals.contains(condition.text)) {
        const Symbol symbol = scope.function.package->lookup(*scope.function.module, condition.text);
        if (symbol.kind == Symbol::Kind::value && symbol.value->kind == Expr::constant &&
            symbol.value->text != "...")
            return symbol.value->text == "True";
    }
    return std::nullopt;
}

std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        switch (c) {
            case '"':
                out += "\\\"";
                break;
            case '\\':
                out += "\\\\";
                break;
            case '\n':
                out += "\\n";
                break;
            case '\r':
                out += "\\r";
                break;
            case '\t':
                out += "\\t";
                break;
            default:
                out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
        }
    }
    return out + "\"";
}

}  // namespace kernels::source
