#include "unlike_python.hpp"

#include <algorithm>

#include "function_scope.hpp"
#include "kernels/core/text.hpp"
#include "tokens.hpp"

namespace kernels::source {
namespace {

constexpr std::size_t most_unrolled = 5000;  // statements

bool is_ascii(const std::string& name) {
    return std::all_of(name.begin(), name.end(), [](char c) { return (c & 0x80) == 0; });
}

void require_ascii(const std::string& name, const FunctionSource& function, int line) {
    if (!is_ascii(name))
        refuse(function.file(), line, "the name " + backquoted(name) + " is not ASCII, as TorchScript's are");
}

// How often the body of a loop over this is written out; 1 for what TorchScript makes a loop of.
std::size_t copies_of(const Expression& iterated, const Scope& scope, int depth = 0) {
    constexpr int deepest = 10;
    if (depth > deepest) return 1;
    if (iterated.kind == Expr::tuple) return std::max<std::size_t>(iterated.parts.size(), 1);
    if (iterated.kind == Expr::call && iterated.part(0).kind == Expr::name) {
        std::size_t most = 1;
        for (std::size_t i = 1; i < iterated.parts.size(); ++i)
            most = std::max(most, copies_of(iterated.part(i), scope, depth + 1));
        return most;
    }
    if (iterated.kind != Expr::name) return 1;
    if (const auto once = scope.once.find(iterated.text); once != scope.once.end())
        return copies_of(*once->second, scope, depth + 1);
    if (scope.locals.contains(iterated.text)) return 1;
    const Symbol symbol = scope.function.package->lookup(*scope.function.module, iterated.text);
    return symbol.kind == Symbol::Kind::value && symbol.value != nullptr
               ? copies_of(*symbol.value, scope, depth + 1)
               : 1;
}

class Unrolled {
  public:
    explicit Unrolled(const Scope& scope) : m_scope(scope) {}

    void block(const Block& statements, std::size_t copies) {
        for (const auto& statement : statements) {
            m_total += copies;
            if (m_total > most_unrolled) {
                refuse(m_scope.function.file(), statement->line,
                       "loops over tuples, which TorchScript writes out, come to more than " +
                           std::to_string(most_unrolled) + " statements");
            }
            const std::size_t inner =
                statement->kind == Stmt::for_ ? copies * copies_of(statement->value(1), m_scope) : copies;
            block(statement->body, inner);
            block(statement->otherwise, copies);
            block(statement->handlers, copies);
        }
    }

  private:
    const Scope& m_scope;
    std::size_t m_total = 0;
};

void require_ascii_names(const FunctionSource& function) {
    for (const auto& parameter : function.definition->parameters)
        require_ascii(parameter.name, function, parameter.line);
    for_each_expression(function.definition->body, [&](const Expression& e) {
        if (e.kind == Expr::name || e.kind == Expr::attribute || e.kind == Expr::keyword)
            require_ascii(e.text, function, e.line);
    });
}

void require_no_growing_lists(const FunctionSource& function) {
    for_each_statement(function.definition->body, [&](const Statement& loop) {
        if (loop.kind != Stmt::for_) return;
        const Expression* iterated = &loop.value(1);
        bool reversed = false;
        while (
            iterated->kind == Expr::call && iterated->parts.size() > 1 &&
            (iterated->part(0).is(Expr::name, "enumerate") || iterated->part(0).is(Expr::name, "reversed"))) {
            reversed = reversed || iterated->part(0).text == "reversed";
            iterated = &iterated->part(1);
        }
        if (iterated->kind != Expr::name) return;
        // A reversed list is a copy in TorchScript.
        for_each_target(loop.body, [&](const Expression& target) {
            if (reversed && target.kind == Expr::subscript && target.part(0).is(Expr::name, iterated->text))
                refuse(function.file(), target.line,
                       "the list " + backquoted(iterated->text) + " changes while a loop goes through it");
        });
        for_each_expression(loop.body, [&](const Expression& e) {
            static const std::set<std::string> changing = {"append", "extend", "insert",
                                                           "pop",    "remove", "clear"};
            if (e.kind == Expr::call && e.part(0).kind == Expr::attribute &&
                changing.contains(e.part(0).text) && e.part(0).part(0).is(Expr::name, iterated->text))
                refuse(function.file(), e.line,
                       "the list " + backquoted(iterated->text) + " changes while a loop goes through it");
        });
    });
}

void require_bounded_loops(const FunctionSource& function, const Scope& scope) {
    bool loops = false;
    for_each_statement(function.definition->body,
                       [&](const Statement& one) { loops = loops || one.kind == Stmt::for_; });
    if (loops) Unrolled(scope).block(function.definition->body, 1);
}

}  // namespace

void require_like_python(const FunctionSource& function, const Scope& scope) {
    require_ascii_names(function);
    require_no_growing_lists(function);
    require_bounded_loops(function, scope);
}

void require_settled_names(const Expression& value, const FunctionSource& owner) {
    for_each_expression(value, [&](const Expression& e) {
        if (e.kind != Expr::name) return;
        const auto known = owner.module->bindings.find(e.text);
        if (known != owner.module->bindings.end() && known->second.rebound &&
            known->second.value != nullptr) {
            refuse(owner.file(), value.line,
                   backquoted(e.text) + " gets another value at line " +
                       std::to_string(known->second.statement->line) +
                       ", so what it was here cannot be told");
        }
    });
}

bool has_break(const Block& body) {
    return std::any_of(body.begin(), body.end(), [](const auto& statement) {
        if (statement->kind == Stmt::break_) return true;
        if (statement->kind == Stmt::for_ || statement->kind == Stmt::while_) return false;
        return has_break(statement->body) || has_break(statement->otherwise) ||
               has_break(statement->handlers);
    });
}

}  // namespace kernels::source
