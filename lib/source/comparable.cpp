#include "comparable.hpp"

#include "tokens.hpp"

namespace kernels::source {
namespace {

enum class What { other, number, text, dtype, device, list, tuple, shape };

bool is_call_of(const Expression& e, const char* name, std::size_t arguments, const Scope& scope) {
    return e.kind == Expr::call && e.part(0).is(Expr::name, name) && e.parts.size() == arguments + 1 &&
           !scope.locals.contains(name);
}

What kind_of(const Expression& e, const Scope& scope, int depth = 0) {
    constexpr int deepest = 10;
    switch (e.kind) {
        case Expr::number:
            return What::number;
        case Expr::string:
        case Expr::format:
            return What::text;
        case Expr::list:
        case Expr::comprehension:
            return What::list;
        case Expr::tuple:
            return What::tuple;
        case Expr::attribute:
            if (e.text == "shape") return What::shape;
            if (scope.path(e).starts_with("torch.")) return What::other;
            return e.text == "dtype" ? What::dtype : e.text == "device" ? What::device : What::other;
        case Expr::call:
            if (is_call_of(e, "list", 1, scope)) return What::list;
            if (is_call_of(e, "tuple", 1, scope)) return What::tuple;
            return e.part(0).kind == Expr::attribute && e.parts.size() == 1 &&
                           (e.part(0).text == "size" || e.part(0).text == "stride")
                       ? What::shape
                       : What::other;
        case Expr::subscript: {
            const What whole = kind_of(e.part(0), scope, depth + 1);
            const bool keeps = whole == What::shape || whole == What::list || whole == What::tuple;
            return keeps && e.part(1).kind == Expr::slice ? whole : What::other;
        }
        case Expr::name: {
            const auto once = scope.once.find(e.text);
            return once == scope.once.end() || depth > deepest ? What::other
                                                               : kind_of(*once->second, scope, depth + 1);
        }
        default:
            return What::other;
    }
}

const char* words_for(What left, What right) {
    const auto are = [&](What one, What other) {
        return (left == one && right == other) || (left == other && right == one);
    };
    if (are(What::dtype, What::number)) return "a dtype is compared with a number";
    if (are(What::dtype, What::text)) return "a dtype is compared with a text";
    if (are(What::device, What::text)) return "a device is compared with a text";
    if (are(What::list, What::tuple)) return "a list is compared with a tuple";
    if (are(What::list, What::shape)) return "a shape is compared with a list";
    return nullptr;
}

}  // namespace

void require_comparable(const Expression& left, const Expression& right, const Scope& scope) {
    if (const char* words = words_for(kind_of(left, scope), kind_of(right, scope)))
        refuse(scope.function.file(), left.line, std::string(words) + ", and in Python they are never equal");
}

const Expression& compared(const Expression& side, const Scope& scope) {
    const bool of_shape = is_call_of(side, "tuple", 1, scope) && kind_of(side.part(1), scope) == What::shape;
    return of_shape ? side.part(1) : side;
}

}  // namespace kernels::source
