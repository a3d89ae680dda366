#include "tuple_sizes.hpp"

#include <algorithm>

#include "function_scope.hpp"
#include "tokens.hpp"

namespace kernels::source {
namespace {

using Sizes = std::map<std::string, std::size_t>;

std::size_t parts_of(const Expression& e, const Sizes& sizes) {
    const auto largest = [&] {
        std::size_t most = 0;
        for (const auto& part : e.parts)
            if (part) most = std::max(most, parts_of(*part, sizes));
        return most;
    };
    switch (e.kind) {
        case Expr::name: {
            const auto known = sizes.find(e.text);
            return known == sizes.end() ? 1 : known->second;
        }
        case Expr::tuple: {
            std::size_t sum = 1;
            for (const auto& part : e.parts)
                sum = std::min(sum + parts_of(*part, sizes), most_parts + 1);
            return sum;
        }
        case Expr::list:
        case Expr::dictionary:
            return largest() + 1;
        case Expr::conditional:
        case Expr::boolean:
        case Expr::binary:  // tuples can be added
            return largest();
        case Expr::star:
        case Expr::subscript:
            return parts_of(e.part(0), sizes);
        default:
            return 1;
    }
}

void set(const Expression& target, std::size_t size, Sizes& sizes) {
    if (target.kind == Expr::name) {
        std::size_t& known = sizes[target.text];
        known = std::max(known, size);
    }
    if (target.kind == Expr::tuple || target.kind == Expr::list || target.kind == Expr::star) {
        for (const auto& part : target.parts)
            set(*part, size, sizes);
    }
}

}  // namespace

void require_small_tuples(const FunctionSource& function) {
    Sizes sizes;
    for_each_statement(function.definition->body, [&](const Statement& statement) {
        const bool assigns = statement.kind == Stmt::assign || statement.kind == Stmt::augment ||
                             (statement.kind == Stmt::annotate && statement.values.size() == 3);
        const bool returns = statement.kind == Stmt::return_ && !statement.values.empty();
        if (!assigns && !returns) return;
        const std::size_t size = parts_of(*statement.values.back(), sizes);
        if (size > most_parts) {
            refuse(function.file(), statement.line,
                   "a tuple of tuples with more than " + std::to_string(most_parts) + " parts");
        }
        const std::size_t targets = statement.kind == Stmt::assign ? statement.values.size() - 1 : 1;
        for (std::size_t i = 0; assigns && i < targets; ++i)
            set(statement.value(i), size, sizes);
    });
}

}  // namespace kernels::source
