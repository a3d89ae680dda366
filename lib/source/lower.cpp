#include "lower.hpp"

#include <algorithm>
#include <utility>

#include "arithmetic.hpp"
#include "augmented.hpp"
#include "decorators.hpp"
#include "expression_printer.hpp"
#include "function_scope.hpp"
#include "iterated.hpp"
#include "kernels/core/text.hpp"
#include "known_names.hpp"
#include "line_writer.hpp"
#include "loop_variable.hpp"
#include "name_uses.hpp"
#include "tokens.hpp"
#include "tuple_sizes.hpp"
#include "unlike_python.hpp"

namespace kernels::source {
namespace {

class Lowering {
  public:
    Lowering(const FunctionSource& function, const Declared& declared)
        : m_function(function), m_scope(scope_of(function)), m_declared(declared), m_out(function.line()) {}

    LoweredFunction run(const std::string& name, const std::vector<ParameterPlan>& parameters) {
        require_harmless_decorators(m_function, m_scope);
        require_small_tuples(m_function);
        require_like_python(m_function, m_scope);
        const int line = m_function.line();
        std::string head = "def " + name + "(";
        bool first = true;
        if (m_function.method) {
            if (m_function.definition->parameters.empty()) refuse_at(line, "forward takes no self");
            head += m_function.definition->parameters.front().name;
            first = false;
        }
        m_scope.flags = known_flags(m_function, parameters);
        bool by_keyword = false;
        for (const auto& parameter : parameters) {
            if (!parameter.given) continue;
            if (parameter.keyword_only && !std::exchange(by_keyword, true)) {
                head += first ? "*" : ", *";
                first = false;
            }
            head +=
                (first ? "" : ", ") + (renamed(parameter) ? "hub_given_" : std::string()) + parameter.name;
            if (!parameter.type.empty()) head += ": " + parameter.type;
            if (parameter.optional) head += " = " + default_of(parameter);
            first = false;
        }
        m_out.put(line, 0, head + "):");
        ++m_indent;
        for (const auto& parameter : parameters) {
            const auto declaration = m_declared.find(parameter.name);
            if (parameter.module) {
                put(line, parameter.name + " = hub_module(hub_given_" + parameter.name + ")");
            } else if (renamed(parameter)) {
                put(line, parameter.name + ": " + declaration->second + " = hub_given_" + parameter.name);
            } else if (!parameter.given) {
                give_default(parameter);
            }
            m_declared.erase(parameter.name);
        }
        --m_indent;
        block(m_function.definition->body, line);
        return {m_out.take(), std::move(m_scope.imports)};
    }

  private:
    void put(int line, const std::string& text) { m_out.put(line, m_indent, text); }
    std::string print(const Expression& expression) const {
        require_equal_arithmetic(expression, m_scope);
        return source::print(expression, m_scope);
    }
    std::string print_condition(const Expression& expression) const {
        require_equal_arithmetic(expression, m_scope);
        return source::print_condition(expression, m_scope);
    }
    // Of what is said to be a bool only the truth counts.
    std::string print_result(const Expression& expression) const {
        const auto& returns = m_function.definition->returns;
        const bool is_bool = returns && returns->is(Expr::name, "bool") && expression.kind == Expr::boolean;
        return is_bool ? print_condition(expression) : print(expression);
    }
    // An f-string that an exception says.
    bool is_message(const Statement& s) const {
        return s.values.back()->kind == Expr::format && s.value(0).kind == Expr::name &&
               (s.kind == Stmt::annotate || s.values.size() == 2) && only_raised(s.value(0).text, m_function);
    }
    // What people read; that nothing is computed with its text.
    std::string print_message(const Expression& expression) const {
        return source::print_message(expression, m_scope);
    }
    [[noreturn]] void refuse_at(int line, const std::string& why) const {
        refuse(m_function.file(), line, why);
    }

    // A parameter that is given under another name, and gets its own at the head of the body.
    bool renamed(const ParameterPlan& parameter) const {
        return parameter.given && (parameter.module || m_declared.contains(parameter.name));
    }

    std::string default_of(const ParameterPlan& plan) const {
        if (!plan.constant.empty()) return plan.constant;
        const auto& all = m_function.definition->parameters;
        const auto found =
            std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.name == plan.name; });
        if (found == all.end() || !found->value)
            refuse_at(m_function.line(), "no value for the argument " + plan.name);
        require_settled_names(*found->value, m_function);
        std::string text = print(*found->value);
        const bool whole =
            found->value->kind == Expr::number && text.find_first_of(".eE") == std::string::npos;
        return whole && plan.type == "float" ? text + ".0" : text;
    }

    void give_default(const ParameterPlan& plan) {
        const auto declaration = m_declared.find(plan.name);
        const std::string& type = declaration == m_declared.end() ? plan.type : declaration->second;
        put(m_function.line(), plan.name + (type.empty() ? "" : ": " + type) + " = " + default_of(plan));
    }

    // A block may not be empty.
    void block(const Block& statements, int line) {
        ++m_indent;
        m_wrote = false;
        for (const auto& one : statements)
            statement(*one);
        if (!m_wrote) put(line, "pass");
        m_wrote = true;
        --m_indent;
    }

    void write(int line, const std::string& text) {
        put(line, text);
        m_wrote = true;
    }

    // A name that nothing reads again needs no del; of others TorchScript knows where they are gone.
    void forget(const Statement& s) {
        for (const auto& value : s.values) {
            if (value->kind != Expr::tuple) {
                forget(*value, s.line);
            } else {
                for (const auto& part : value->parts)
                    forget(*part, s.line);
            }
        }
    }

    void forget(const Expression& target, int line) {
        if (target.kind != Expr::name) refuse_at(line, "del of what is no name");
        if (is_read_from(line, target, m_function)) write(line, "del " + target.text);
    }

    void statement(const Statement& s) {
        switch (s.kind) {
            case Stmt::pass:
            case Stmt::import:
            case Stmt::from_import:
                return;
            case Stmt::delete_:
                return forget(s);
            case Stmt::break_:
                return write(s.line, "break");
            case Stmt::continue_:
                return write(s.line, "continue");
            case Stmt::return_:
                return leave(s);
            case Stmt::raise:
                if (s.values.empty()) refuse_at(s.line, "raise without an exception");
                return write(s.line, "raise " + print_message(s.value(0)));
            case Stmt::assert_:
                return write(s.line, "assert " + print_condition(s.value(0)) +
                                         (s.values.size() > 1 ? ", " + print_message(s.value(1)) : ""));
            case Stmt::expression:
                return expression(s);
            case Stmt::assign:
                return assign(s);
            case Stmt::annotate:
                return annotate(s);
            case Stmt::augment:
                return augment(s);
            case Stmt::if_:
                return conditional(s);
            case Stmt::while_:
                if (!s.otherwise.empty()) refuse_at(s.line, "while … else");
                write(s.line, "while " + print_condition(s.value(0)) + ":");
                block(s.body, s.line);
                // What is behind it is never reached; libtorch's compiler does not see that.
                if (s.value(0).is(Expr::constant, "True") && !has_break(s.body))
                    write(s.line, "raise AssertionError(\"the end of an endless loop\")");
                return;
            case Stmt::for_:
                if (!s.otherwise.empty()) refuse_at(s.line, "for … else");
                return loop(s);
            case Stmt::with:
                return with(s);
            case Stmt::try_:
                refuse_at(s.line, "TorchScript has not: try");
            case Stmt::function:
                refuse_at(s.line, "TorchScript has not: a function within a function");
            case Stmt::class_:
                refuse_at(s.line, "TorchScript has not: a class within a function");
            case Stmt::unsupported:
                refuse_at(s.line, "TorchScript has not: " + s.text);
        }
    }

    void loop(const Statement& s) {
        const auto around = around_loop(s, m_function);
        if (!around.before.empty()) write(s.line - 1, around.before);
        require_equal_arithmetic(s.value(1), m_scope);
        write(s.line, "for " + print(s.value(0)) + " in " + print_iterated(s.value(1), m_scope) + ":");
        block(s.body, s.line);
        if (!around.behind.empty()) write(s.line, around.behind);
    }

    void expression(const Statement& s) {
        const Expression& value = s.value(0);
        if (is_for_people(value, m_scope)) return;
        write(s.line, print(value));
    }

    void annotate(const Statement& s) {
        if (s.values.size() < 3) return;
        if (s.value(0).kind != Expr::name) refuse_at(s.line, "an annotation of more than a name");
        const std::string type = type_name(*m_function.package, *m_function.module, s.value(1));
        write(s.line, s.value(0).text + (type.empty() ? "" : ": " + type) + " = " +
                          (is_message(s) ? print_message(s.value(2)) : print(s.value(2))));
    }

    void augment(const Statement& s) {
        if (s.value(0).kind == Expr::attribute) refuse_attribute(s.value(0));
        write(s.line, print_augmented(s, m_scope));
    }

    [[noreturn]] void refuse_attribute(const Expression& target) const {
        refuse_at(target.line, "it changes " + (dotted(target).empty() ? "an attribute" : dotted(target)) +
                                   ", and a kernel's layer has no state");
    }

    void assign(const Statement& s) {
        if (is_for_backward(s, m_scope)) return;
        const Expression& value = *s.values.back();
        std::string computed = is_message(s) ? print_message(value) : print(value);
        // a = b = value: computed once.
        if (s.values.size() > 2) {
            const std::string name = temporary();
            write(s.line, name + " = " + computed);
            computed = name;
        }
        for (std::size_t i = 0; i + 1 < s.values.size(); ++i)
            assign_to(s.value(i), computed, s.line);
    }

    void assign_to(const Expression& target, const std::string& value, int line) {
        switch (target.kind) {
            case Expr::name:
                return write(line, print(target) + declaration_of(target.text) + " = " + value);
            case Expr::subscript:
                return write(line, print(target) + " = " + value);
            case Expr::attribute:
                if (!is_context_value(target, m_scope)) refuse_attribute(target);
                return write(line, context_variable(target.text) +
                                       declaration_of(context_variable(target.text)) + " = " + value);
            case Expr::tuple:
            case Expr::list:
                return unpack(target, value, line);
            default:
                refuse_at(line, "an assignment to what is no variable");
        }
    }

    // Only where the variable is first assigned to: TorchScript takes no second one.
    std::string declaration_of(const std::string& name) {
        const auto known = m_declared.find(name);
        if (known == m_declared.end()) return {};
        const std::string text = ": " + known->second;
        m_declared.erase(known);
        return text;
    }

    void unpack(const Expression& target, const std::string& value, int line) {
        const auto star = std::find_if(target.parts.begin(), target.parts.end(),
                                       [](const auto& part) { return part->kind == Expr::star; });
        if (star == target.parts.end()) {
            const bool plain = std::all_of(target.parts.begin(), target.parts.end(), [&](const auto& part) {
                return part->kind == Expr::name && !m_declared.contains(part->text);
            });
            std::string names;
            std::vector<std::string> given;
            for (const auto& part : target.parts) {
                given.push_back(plain ? part->text : temporary());
                names += given.back() + ", ";
            }
            if (target.parts.size() > 1) names.resize(names.size() - 2);
            write(line, names + " = " + value);
            for (std::size_t i = 0; !plain && i < given.size(); ++i)
                assign_to(target.part(i), given[i], line);
            return;
        }
        // a, *b, c = value: TorchScript does not know how many there are.
        const std::string whole = temporary();
        write(line, whole + " = " + value);
        const auto before = static_cast<std::size_t>(star - target.parts.begin());
        const std::size_t behind = target.parts.size() - before - 1;
        for (std::size_t i = 0; i < target.parts.size(); ++i) {
            if (i == before) {
                const std::string end = behind == 0 ? "" : "-" + std::to_string(behind);
                const Expression& rest = target.part(i).part(0);
                if (rest.text != "_")
                    assign_to(rest, whole + "[" + std::to_string(before) + ":" + end + "]", line);
            } else {
                const std::string at =
                    i < before ? std::to_string(i) : "-" + std::to_string(target.parts.size() - i);
                assign_to(target.part(i), whole + "[" + at + "]", line);
            }
        }
    }

    void conditional(const Statement& s) {
        if (const auto truth = known_truth(s.value(0), m_scope)) {
            for (const auto& one : *truth ? s.body : s.otherwise)
                statement(*one);
            return;
        }
        write(s.line, "if " + print_condition(s.value(0)) + ":");
        block(s.body, s.line);
        if (s.otherwise.empty()) return;
        put(s.otherwise.front()->line, "else:");
        block(s.otherwise, s.otherwise.front()->line);
    }

    // Gradients are switched off and on again around the block.
    void with(const Statement& s) {
        const Expression& item = s.value(0);
        const Expression& callee = item.kind == Expr::call ? item.part(0) : item;
        const std::string path = item.kind == Expr::call ? m_scope.path(callee) : "";
        const bool no_grad = path == "torch.no_grad" || path == "torch.inference_mode";
        if (!no_grad || s.values.size() != 1 || !s.text.empty()) {
            refuse_at(s.line, "TorchScript has not: with " + (path.empty() ? dotted(callee) : path));
        }
        require_no_jump(s.body, path, m_function);
        const std::string before = temporary();
        write(s.line, before + " = hub_torch.is_grad_enabled()");
        write(s.line, "hub_torch.set_grad_enabled(False)");
        m_grad_before.push_back(before);
        for (const auto& one : s.body)
            statement(*one);
        m_grad_before.pop_back();
        if (s.body.empty() || s.body.back()->kind != Stmt::return_)
            write(s.line, "hub_torch.set_grad_enabled(" + before + ")");
    }

    // What a block without gradients returns is computed without them; behind it they are as before.
    void leave(const Statement& s) {
        const std::string value = s.values.empty() ? "" : print_result(s.value(0));
        if (m_grad_before.empty()) return write(s.line, s.values.empty() ? "return" : "return " + value);
        const std::string result = temporary();
        if (!s.values.empty()) write(s.line, result + " = " + value);
        write(s.line, "hub_torch.set_grad_enabled(" + m_grad_before.front() + ")");
        write(s.line, s.values.empty() ? "return" : "return " + result);
    }

    std::string temporary() { return "hub_value_" + std::to_string(m_temporaries++); }

    const FunctionSource& m_function;
    Scope m_scope;
    Declared m_declared;  // those whose assignment is still to come
    LineWriter m_out;
    std::vector<std::string> m_grad_before;  // of the blocks without gradients around, outermost first
    int m_indent = 0;
    int m_temporaries = 0;
    bool m_wrote = false;
};

}  // namespace

LoweredFunction lower(const FunctionSource& function, const std::string& name,
                      const std::vector<ParameterPlan>& parameters, const Declared& declared) {
    return Lowering(function, declared).run(name, parameters);
}

LoweredFunction lower_constant(const FunctionSource& from, const Expression& value, const std::string& name) {
    const Scope scope{from, {}, {}, {}, {}};
    require_settled_names(value, from);
    require_equal_arithmetic(value, scope);
    return {"def " + name + "():\n  return " + print(value, scope) + "\n", {}};
}

}  // namespace kernels::source
