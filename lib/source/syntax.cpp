#include "syntax.hpp"

namespace kernels::source {

ExpressionPtr clone(const Expression& expression) {
    auto made = std::make_unique<Expression>();
    made->kind = expression.kind;
    made->line = expression.line;
    made->text = expression.text;
    made->height = expression.height;
    for (const auto& part : expression.parts)
        made->parts.push_back(part ? clone(*part) : nullptr);
    return made;
}

std::vector<const Expression*> sides_of(const Expression& boolean) {
    std::vector<const Expression*> sides{&boolean};
    for (std::size_t at = 0; at < sides.size();) {
        const Expression& one = *sides[at];
        if (!one.is(Expression::Kind::boolean, boolean.text)) {
            ++at;
            continue;
        }
        sides[at] = &one.part(1);
        sides.insert(sides.begin() + static_cast<std::ptrdiff_t>(at), &one.part(0));
    }
    return sides;
}

std::string dotted(const Expression& expression) {
    if (expression.kind == Expr::name) return expression.text;
    if (expression.kind != Expr::attribute) return {};
    const std::string base = dotted(expression.part(0));
    return base.empty() ? base : base + "." + expression.text;
}

}  // namespace kernels::source
