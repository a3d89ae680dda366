#include "loop_variable.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include "function_scope.hpp"
#include "kernels/core/text.hpp"
#include "tokens.hpp"

namespace kernels::source {
namespace {

// No range comes to this number.
constexpr const char* no_round = "-9223372036854775807";

bool binds(const Expression& target, const std::string& name) {
    bool found = false;
    for_each_expression(target, [&](const Expression& e) { found = found || e.is(Expr::name, name); });
    return found;
}

const Expression* first_read(const Expression& e, const std::string& name) {
    if (e.is(Expr::name, name)) return &e;
    if (e.kind == Expr::comprehension && binds(e.part(1), name)) return nullptr;
    for (const auto& part : e.parts) {
        const Expression* found = part ? first_read(*part, name) : nullptr;
        if (found != nullptr) return found;
    }
    return nullptr;
}

// Where a statement itself reads the name, the blocks in it aside.
const Expression* first_read(const Statement& s, const std::string& name) {
    const bool assigns = s.kind == Stmt::assign || s.kind == Stmt::annotate;
    for (std::size_t i = 0; i < s.values.size(); ++i) {
        const Expression& value = s.value(i);
        const bool target = (assigns && i + 1 < s.values.size()) || (s.kind == Stmt::for_ && i == 0);
        if (target && (value.kind == Expr::name || value.kind == Expr::tuple)) continue;
        if (const Expression* found = first_read(value, name)) return found;
    }
    return nullptr;
}

// The first place outside of the loops over this variable that reads it.
const Expression* read_outside(const Block& block, const std::string& name) {
    for (const auto& one : block) {
        if (const Expression* found = first_read(*one, name)) return found;
        const bool own = one->kind == Stmt::for_ && binds(one->value(0), name);
        for (const Block* inner : {&one->body, &one->otherwise, &one->handlers}) {
            if (own && inner == &one->body) continue;
            if (const Expression* found = read_outside(*inner, name)) return found;
        }
    }
    return nullptr;
}

std::optional<long long> written_number(const Expression& e) {
    long long value = 0;
    const auto [end, failure] = std::from_chars(e.text.data(), e.text.data() + e.text.size(), value);
    if (e.kind != Expr::number || failure != std::errc() || end != e.text.data() + e.text.size())
        return std::nullopt;
    return value;
}

bool is_range(const Expression& e, const FunctionSource& function) {
    return e.kind == Expr::call && e.part(0).is(Expr::name, "range") && e.parts.size() > 1 &&
           !assigns(function, "range");
}

// range(3), range(1, 4): it is known that there is a first round.
bool has_round(const Expression& range) {
    const auto first = range.parts.size() == 3 ? written_number(range.part(1)) : std::optional<long long>(0);
    const auto end = range.parts.size() <= 3 ? written_number(*range.parts.back()) : std::nullopt;
    return first && end && *first < *end;
}

// The block that the statement is in, and whether a loop is around.
const Block* block_of(const Statement& wanted, const Block& block, bool& in_loop) {
    for (const auto& one : block) {
        if (one.get() == &wanted) return &block;
        for (const Block* inner : {&one->body, &one->otherwise, &one->handlers}) {
            if (const Block* found = block_of(wanted, *inner, in_loop)) {
                in_loop = in_loop || one->kind == Stmt::for_ || one->kind == Stmt::while_;
                return found;
            }
        }
    }
    return nullptr;
}

// Whether something in the value may be left out: then it is not known that Python comes to it.
bool may_leave_out(const Expression& value) {
    bool found = false;
    for_each_expression(value, [&](const Expression& e) {
        found =
            found || e.kind == Expr::conditional || e.kind == Expr::boolean || e.kind == Expr::comprehension;
    });
    return found;
}

// Whether what follows the loop reads the variable whatever happens.
bool is_read_next(const Statement& loop, const Block& block, const std::string& name) {
    auto next = std::find_if(block.begin(), block.end(), [&](const auto& one) { return one.get() == &loop; });
    for (++next; next != block.end(); ++next) {
        const Statement& one = **next;
        const bool simple = one.body.empty() && one.otherwise.empty() && one.handlers.empty();
        if (first_read(one, name) == nullptr) {
            if (simple && one.kind != Stmt::return_ && one.kind != Stmt::raise) continue;
            return false;
        }
        return (simple || one.kind == Stmt::if_) && one.kind != Stmt::assert_ &&
               std::none_of(one.values.begin(), one.values.end(),
                            [](const auto& value) { return may_leave_out(*value); });
    }
    return false;
}

// How many places give the name a value, and whether one of them is no loop.
bool is_bound_otherwise(const FunctionSource& function, const std::string& name, int& loops) {
    const auto& definition = *function.definition;
    bool otherwise = std::any_of(definition.parameters.begin(), definition.parameters.end(),
                                 [&](const auto& parameter) { return parameter.name == name; });
    for_each_statement(definition.body, [&](const Statement& s) {
        if (s.kind == Stmt::for_) loops += binds(s.value(0), name) ? 1 : 0;
    });
    int targets = 0;
    for_each_target(definition.body, [&](const Expression& target) {
        if (target.kind == Expr::subscript || target.kind == Expr::attribute) return;
        targets += binds(target, name) ? 1 : 0;
    });
    return otherwise || targets > loops;
}

}  // namespace

AroundLoop around_loop(const Statement& loop, const FunctionSource& function) {
    const Expression& target = loop.value(0);
    const Expression& iterated = loop.value(1);
    std::set<std::string> names;
    for_each_expression(target, [&](const Expression& e) {
        if (e.kind == Expr::name) names.insert(e.text);
    });
    AroundLoop around;
    for (const auto& name : names) {
        const Expression* read = read_outside(function.definition->body, name);
        // TorchScript writes a loop over a tuple out, and knows its variable behind it.
        if (read == nullptr || iterated.kind == Expr::tuple) continue;
        const bool counts = target.kind == Expr::name && is_range(iterated, function);
        if (counts && has_round(iterated)) {
            around.before = name + " = 0";
            continue;
        }
        int loops = 0;
        if (is_bound_otherwise(function, name, loops) || loops > 1) continue;
        bool in_loop = false;
        const Block* block = block_of(loop, function.definition->body, in_loop);
        if (!counts || in_loop || block == nullptr || !is_read_next(loop, *block, name)) {
            refuse(function.file(), read->line,
                   backquoted(name) + " is read outside of its loop at line " + std::to_string(loop.line) +
                       ", and whether that has run cannot be told here; give it a value before the loop");
        }
        around.before = name + " = " + no_round;
        around.behind = "assert " + name + " != " + no_round + ", \"the loop that gives " + name +
                        " its value has not run\"";
    }
    return around;
}

}  // namespace kernels::source
