#include "name_uses.hpp"

#include <algorithm>
#include <vector>

#include "function_scope.hpp"
#include "tokens.hpp"

namespace kernels::source {
namespace {

int last_line(const Statement& statement) {
    int last = statement.line;
    for_each_statement(statement.body, [&](const Statement& one) {
        last = std::max(last, one.line);
        for (const auto& value : one.values)
            for_each_expression(*value, [&](const Expression& e) { last = std::max(last, e.line); });
    });
    return last;
}

// How many places of the block give the name a value.
std::size_t assignments(const Block& block, const std::string& name) {
    std::size_t found = 0;
    for_each_target(block, [&](const Expression& target) {
        if (target.kind == Expr::subscript || target.kind == Expr::attribute) return;
        for_each_expression(target, [&](const Expression& e) { found += e.is(Expr::name, name) ? 1 : 0; });
    });
    return found;
}

// The loops that give the name a value and end before the line, or begin behind it, not those in them.
void collect_loops_elsewhere(const Block& block, const std::string& name, int line,
                             std::vector<const Statement*>& loops) {
    for (const auto& one : block) {
        const bool loop = one->kind == Stmt::for_ || one->kind == Stmt::while_;
        const bool around = line >= one->line && line <= last_line(*one);
        if (loop && !around && assignments(one->body, name) > 0) loops.push_back(one.get());
        for (const Block* inner : {&one->body, &one->otherwise, &one->handlers}) {
            if (!loop || around || inner != &one->body) collect_loops_elsewhere(*inner, name, line, loops);
        }
    }
}

}  // namespace

bool is_read_from(int line, const Expression& target, const FunctionSource& function) {
    bool is_read = false;
    for_each_expression(function.definition->body, [&](const Expression& expression) {
        is_read = is_read || (&expression != &target && expression.line >= line &&
                              expression.is(Expr::name, target.text));
    });
    return is_read;
}

int loop_that_assigns(const FunctionSource& function, const std::string& name, int line) {
    const Block& body = function.definition->body;
    std::vector<const Statement*> loops;
    collect_loops_elsewhere(body, name, line, loops);
    std::size_t in_loops = 0;
    for (const auto* loop : loops)
        in_loops += assignments(loop->body, name);
    return loops.empty() || in_loops != assignments(body, name) ? 0 : loops.front()->line;
}

bool only_raised(const std::string& name, const FunctionSource& function) {
    const Block& body = function.definition->body;
    std::size_t others = 0;
    std::size_t raised = 0;
    for_each_expression(body, [&](const Expression& e) { others += e.is(Expr::name, name) ? 1 : 0; });
    const auto count_raised = [&](const Expression& value) {
        for_each_expression(value, [&](const Expression& e) { raised += e.is(Expr::name, name) ? 1 : 0; });
    };
    bool grows = false;
    for_each_statement(body, [&](const Statement& one) {
        const bool names_it = !one.values.empty() && one.value(0).is(Expr::name, name);
        if (one.kind == Stmt::raise && !one.values.empty()) count_raised(one.value(0));
        if (one.kind == Stmt::assert_ && one.values.size() > 1) count_raised(one.value(1));
        if ((one.kind == Stmt::assign || one.kind == Stmt::annotate) && names_it) --others;
        grows = grows || (one.kind == Stmt::augment && names_it);
    });
    return !grows && raised > 0 && others == raised;
}

bool is_context_value(const Expression& target, const Scope& scope) {
    return !scope.context.empty() && target.kind == Expr::attribute &&
           target.part(0).is(Expr::name, scope.context);
}

bool is_for_backward(const Statement& statement, const Scope& scope) {
    if (statement.values.size() != 2 || !is_context_value(statement.value(0), scope)) return false;
    const std::string& name = statement.value(0).text;
    const Block& body = scope.function.definition->body;
    std::size_t uses = 0;
    for_each_expression(body, [&](const Expression& expression) {
        if (is_context_value(expression, scope) && expression.text == name) ++uses;
    });
    for_each_target(body, [&](const Expression& target) {
        if (is_context_value(target, scope) && target.text == name) --uses;
    });
    bool calls = false;
    for_each_expression(statement.value(1), [&](const Expression& expression) {
        calls = calls || expression.kind == Expr::call;
    });
    return uses == 0 && !calls;
}

bool is_for_people(const Expression& value, const Scope& scope) {
    if (value.kind == Expr::string || value.kind == Expr::constant) return true;
    if (value.kind != Expr::call) return false;
    const Expression& callee = value.part(0);
    if (is_context_value(callee, scope)) return true;
    const std::string path = scope.path(callee);
    const std::string name = dotted(callee);
    return path.starts_with("warnings.") || path.starts_with("logging.") || name.starts_with("logger.") ||
           name.starts_with("_logger.");
}

void require_no_jump(const Block& block, const std::string& path, const FunctionSource& function) {
    for (const auto& inner : block) {
        if (inner->kind == Stmt::break_ || inner->kind == Stmt::continue_)
            refuse(function.file(), inner->line, "the block of " + path + " is left before its end");
        if (inner->kind == Stmt::for_ || inner->kind == Stmt::while_) continue;
        require_no_jump(inner->body, path, function);
        require_no_jump(inner->otherwise, path, function);
    }
}

}  // namespace kernels::source
