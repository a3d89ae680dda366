#include "expression_printer.hpp"

#include <algorithm>
#include <array>

#include "arithmetic.hpp"
#include "boolean_value.hpp"
#include "chosen_list.hpp"
#include "comparable.hpp"
#include "dims_argument.hpp"
#include "instance_test.hpp"
#include "iterated.hpp"
#include "kernels/core/text.hpp"
#include "known_names.hpp"
#include "tensor_method.hpp"
#include "tokens.hpp"

namespace kernels::source {
namespace {

constexpr std::size_t longest_list = 200'000;  // characters of a comprehension that is written out

class Printer {
  public:
    explicit Printer(const Scope& scope, bool message = false) : m_scope(scope), m_message(message) {}

    std::string print(const Expression& e) const {
        switch (e.kind) {
            case Expr::name:
                return name(e);
            case Expr::number:
                return e.text;
            case Expr::constant:
                return e.text;
            case Expr::string:
                return quoted(e.text);
            case Expr::format:
                return format(e);
            case Expr::formatted:
                if (!m_message) refuse_at(e, "a format in an f-string, which TorchScript has not");
                return print(e.part(0));
            case Expr::attribute:
                return attribute(e);
            case Expr::subscript:
                return base(e.part(0)) + "[" + index(e.part(1)) + "]";
            case Expr::call:
                return call(e);
            case Expr::unary:
                return unary(e);
            case Expr::binary:
                return binary(e);
            case Expr::compare:
                return compare(e);
            case Expr::boolean:
                return print_boolean_value(e, m_scope);
            case Expr::conditional:
                return conditional(e);
            case Expr::tuple:
                return sequence(e, "(", ")");
            case Expr::list:
                return sequence(e, "[", "]");
            case Expr::dictionary:
                return dictionary(e);
            case Expr::comprehension:
                if (!e.text.empty()) refuse_at(e, "TorchScript has not: " + e.text);
                return comprehension(e);
            case Expr::unsupported:
                refuse_at(e, "TorchScript has not: " + e.text);
            case Expr::star:
                refuse_at(e, "* in this place");
            case Expr::double_star:
                refuse_at(e, "** of a dictionary");
            case Expr::slice:
            case Expr::keyword:
                break;
        }
        refuse_at(e, "unexpected expression");
    }

  private:
    [[noreturn]] void refuse_at(const Expression& e, const std::string& why) const {
        refuse(m_scope.function.file(), e.line, why);
    }

    std::string name(const Expression& e) const {
        if (e.text == m_scope.context)
            refuse_at(e, "the autograd context " + backquoted(e.text) + " is used as a value");
        if (e.text == m_scope.keywords) refuse_at(e, "** arguments are used as a dictionary");
        if (const auto flag = m_scope.flags.find(e.text); flag != m_scope.flags.end())
            return flag->second ? "True" : "False";
        if (m_scope.locals.contains(e.text) || !is_torchscript_name(e.text)) return e.text;
        const bool bound =
            m_scope.imports.contains(e.text) || m_scope.function.module->bindings.contains(e.text);
        return bound ? "hub_global_" + e.text : e.text;
    }

    // What an attribute, an index or a call hangs on.
    std::string base(const Expression& e) const {
        const bool plain = e.kind == Expr::name || e.kind == Expr::attribute || e.kind == Expr::subscript ||
                           e.kind == Expr::call;
        return plain ? print(e) : "(" + print(e) + ")";
    }

    std::string attribute(const Expression& e) const {
        if (!m_scope.context.empty() && e.part(0).is(Expr::name, m_scope.context)) {
            if (!m_scope.context_values.contains(e.text)) {
                refuse_at(e, "the forward of an autograd function needs " + m_scope.context + "." + e.text);
            }
            return context_variable(e.text);
        }
        return base(e.part(0)) + "." + e.text;
    }

    std::string index(const Expression& e) const {
        if (e.kind == Expr::tuple) {
            std::string text;
            for (const auto& part : e.parts)
                text += (text.empty() ? "" : ", ") + index(*part);
            return text;
        }
        if (e.kind == Expr::list && std::any_of(e.parts.begin(), e.parts.end(), [](const auto& part) {
                return part->kind == Expr::list || part->kind == Expr::tuple ||
                       part->kind == Expr::comprehension || part->kind == Expr::slice;
            }))
            refuse_at(e, "a list of lists as an index, which Python takes for several indices");
        if (e.kind != Expr::slice) return print(e);
        std::string text;
        for (std::size_t i = 0; i < e.parts.size(); ++i) {
            if (i == 2 && !e.parts[i]) break;
            text += (i == 0 ? "" : ":") + (e.parts[i] ? print(*e.parts[i]) : std::string());
        }
        return text;
    }

    std::string condition(const Expression& e) const { return print_condition(e, m_scope); }

    // Behind `not` and `is`, TorchScript's lexer takes the beginning of a name for a word.
    std::string unary(const Expression& e) const {
        if (e.text == "+") return print(e.part(0));
        return e.text == "not" ? "(not (" + condition(e.part(0)) + "))"
                               : "(" + e.text + print(e.part(0)) + ")";
    }

    // Some divisors of whole numbers crash libtorch.
    std::string binary(const Expression& e) const {
        const std::string left = print(e.part(0));
        const std::string right = e.text == "**" ? exponent(e.part(1)) : print(e.part(1));
        const bool of_text = e.part(0).kind == Expr::string || e.part(0).kind == Expr::format;
        if (e.text == "%" && of_text) require_plain_format(e.part(0));
        const bool divides = e.text == "//" || (e.text == "%" && !of_text);
        if (divides && !is_harmless_divisor(e.part(1)))
            return (e.text == "%" ? "hub_remainder(" : "hub_floordiv(") + left + ", " + right + ")";
        if (const std::string function = number_operator(e.text); !function.empty())
            return function + "(" + left + ", " + right + ")";
        for (const std::string& side : {left, right}) {
            if (side == "True" || side == "False")
                refuse_at(e, side + " to compute with, of which TorchScript makes a whole number");
        }
        return "(" + left + " " + e.text + " " + right + ")";
    }

    // Whole numbers have powers only where the exponent is known.
    std::string exponent(const Expression& e) const {
        const auto known = known_whole(e, m_scope);
        return known ? std::to_string(*known) : print(e);
    }

    // Of "%…" TorchScript knows some letters and nothing between them and the %.
    void require_plain_format(const Expression& e) const {
        for (auto at = e.text.find('%'); !m_message && at != std::string::npos;
             at = e.text.find('%', at + 2)) {
            const char letter = at + 1 < e.text.size() ? e.text[at + 1] : '\0';
            if (letter != '%' && letter != 's' && letter != 'd' && letter != 'i')
                refuse_at(e,
                          "the format %" + std::string(1, letter) + ", which TorchScript writes otherwise");
        }
    }

    std::string compare(const Expression& e) const {
        if (is_choice(e)) return choice(e);
        const bool equality = e.text == "==" || e.text == "!=";
        if (equality) require_comparable(e.part(0), e.part(1), m_scope);
        const std::string left = print(equality ? compared(e.part(0), m_scope) : e.part(0));
        const std::string right = "(" + print(equality ? compared(e.part(1), m_scope) : e.part(1)) + ")";
        if (e.text == "not in") return "(not ((" + left + " in " + right + ")))";
        return "(" + left + " " + e.text + " " + right + ")";
    }

    // x in [None, "silu"]: lists of None and something else, or for what may be None, are none that
    // TorchScript looks into.
    static bool is_choice(const Expression& e) {
        const Expression& among = e.part(1);
        return (e.text == "in" || e.text == "not in") && e.part(0).kind == Expr::name &&
               (among.kind == Expr::list || among.kind == Expr::tuple) && !among.parts.empty() &&
               std::all_of(among.parts.begin(), among.parts.end(), [](const auto& part) {
                   return part->kind == Expr::string || part->is(Expr::constant, "None");
               });
    }

    std::string choice(const Expression& e) const {
        const std::string name = print(e.part(0));
        bool none = false;
        std::string equal;
        for (const auto& part : e.part(1).parts) {
            if (part->kind == Expr::constant) {
                none = true;
            } else {
                const std::string one = "(" + name + " == " + print(*part) + ")";
                equal = equal.empty() ? one : "(" + equal + " or " + one + ")";
            }
        }
        std::string text = "(" + name + (none ? " is (None)" : " is not (None)");
        if (!equal.empty()) text += (none ? " or " : " and ") + equal;
        text += ")";
        return e.text == "in" ? text : "(not (" + text + "))";
    }

    std::string conditional(const Expression& e) const {
        if (const auto truth = known_truth(e.part(1), m_scope)) return print(e.part(*truth ? 0 : 2));
        return "(" + print(e.part(0)) + " if " + condition(e.part(1)) + " else " + print(e.part(2)) + ")";
    }

    std::string format(const Expression& e) const {
        if (e.parts.empty()) return quoted(e.text);
        std::string text = quoted(e.text) + ".format(";
        for (const auto& part : e.parts)
            text += (part == e.parts.front() ? "" : ", ") + print(*part);
        return text + ")";
    }

    // Over values that are written out it is written out as well.
    std::string comprehension(const Expression& e) const {
        if (e.parts.size() > 3) return print_chosen_list(e, m_scope);
        const Expression& iterated = e.part(2);
        const bool listed = iterated.kind == Expr::tuple || iterated.kind == Expr::list;
        const bool plain = listed && e.part(1).kind == Expr::name &&
                           std::all_of(iterated.parts.begin(), iterated.parts.end(), [](const auto& part) {
                               return part->kind == Expr::name || part->kind == Expr::number ||
                                      part->kind == Expr::constant || part->kind == Expr::string;
                           });
        if (!plain || iterated.parts.empty())
            return "[" + print(e.part(0)) + " for " + print(e.part(1)) + " in " +
                   print_iterated(iterated, m_scope) + "]";
        std::string text = "[";
        for (const auto& part : iterated.parts) {
            auto element = clone(e.part(0));
            put_in_place(*element, e.part(1).text, *part);
            text += (part == iterated.parts.front() ? "" : ", ") + print(*element);
            if (text.size() > longest_list) refuse_at(e, "the list becomes too long");
        }
        return text + "]";
    }

    static void put_in_place(Expression& of, const std::string& name, const Expression& value) {
        if (of.is(Expr::name, name)) {
            of = std::move(*clone(value));
            return;
        }
        for (auto& part : of.parts) {
            if (part) put_in_place(*part, name, value);
        }
    }

    std::string dictionary(const Expression& e) const {
        std::string text = "{";
        for (std::size_t i = 0; i + 1 < e.parts.size(); i += 2)
            text += (i == 0 ? "" : ", ") + print(e.part(i)) + ": " + print(e.part(i + 1));
        return text + "}";
    }

    static bool has_star(const std::vector<ExpressionPtr>& parts, std::size_t first) {
        return std::any_of(parts.begin() + static_cast<std::ptrdiff_t>(first), parts.end(),
                           [](const auto& part) { return part->kind == Expr::star; });
    }

    // `a, *b, c` joins what may be lists, whose length TorchScript does not know.
    std::string joined(const std::vector<ExpressionPtr>& parts, std::size_t first) const {
        std::string text = "hub_join(";
        for (std::size_t i = first; i < parts.size(); ++i) {
            if (parts[i]->kind == Expr::keyword || parts[i]->kind == Expr::double_star) break;
            text += i == first ? "" : ", ";
            const bool star = parts[i]->kind == Expr::star;
            const std::string range = star ? print_listed_range(parts[i]->part(0), m_scope) : "";
            text += !range.empty() ? range
                    : star         ? print_iterated(parts[i]->part(0), m_scope)
                                   : "(" + print(*parts[i]) + ",)";
        }
        return text + ")";
    }

    std::string sequence(const Expression& e, const char* open, const char* close) const {
        if (has_star(e.parts, 0)) return joined(e.parts, 0);
        std::string text = open;
        for (const auto& part : e.parts) {
            // libtorch's parser takes `[[… for …]]` for `[… for …]`.
            const bool nested = e.kind == Expr::list && part->kind == Expr::comprehension;
            text += (part == e.parts.front() ? "" : ", ") +
                    (nested ? "hub_same(" + print(*part) + ")" : print(*part));
        }
        if (e.kind == Expr::tuple && e.parts.size() == 1) text += ",";
        return text + close;
    }

    std::string call(const Expression& e) const {
        const Expression& callee = e.part(0);
        if (callee.kind == Expr::attribute && !m_scope.keywords.empty() &&
            callee.part(0).is(Expr::name, m_scope.keywords)) {
            return keyword_access(e, callee);
        }
        if (callee.is(Expr::name, "isinstance") && e.parts.size() == 3)
            return print_instance_test(e, m_scope);
        if (is_reversed(e, m_scope)) refuse_at(e, "reversed() of which more is made than a loop or a list");
        if (is_tuple_of_dims(e, m_scope)) return print_listed_range(e.part(1), m_scope);
        if (const std::string text = print_tensor_method(e, m_scope); !text.empty()) return text;
        const bool divides = callee.is(Expr::name, "divmod") && e.parts.size() == 3 &&
                             !m_scope.locals.contains("divmod") && !is_harmless_divisor(e.part(2));
        const bool own = callee.kind == Expr::name && !m_scope.locals.contains(callee.text);
        const bool rounds = own && callee.text == "round";
        const bool powers = own && base(callee) == "pow";
        std::string text = (divides  ? "hub_divmod"
                            : rounds ? "hub_round"
                            : powers ? "hub_pow"
                                     : base(callee)) +
                           "(";
        if (callee.is(Expr::name, "bool") && e.parts.size() == 2 && e.part(1).kind == Expr::boolean)
            return text + condition(e.part(1)) + ")";
        if (is_attention_choice(e)) return text + print(e.part(1)) + ")";
        if (takes_generator(e)) return text + comprehension(e.part(1)) + ")";
        bool first = true;
        const auto append = [&](const std::string& argument) {
            text += (first ? "" : ", ") + argument;
            first = false;
        };
        const bool as_shape = has_star(e.parts, 1) && takes_shape(callee);
        if (as_shape) append(joined(e.parts, 1));
        for (std::size_t i = 1; i < e.parts.size(); ++i) {
            const Expression& argument = e.part(i);
            if (argument.kind == Expr::keyword) {
                append(argument.text + "=" + print(argument.part(0)));
            } else if (argument.kind == Expr::double_star) {
                if (!argument.part(0).is(Expr::name, m_scope.keywords) || m_scope.keywords.empty())
                    refuse_at(argument, "** of a dictionary");
            } else if (argument.kind == Expr::star) {
                if (!as_shape) append("*" + base(argument.part(0)));
            } else if (!as_shape) {
                append(goes_through(callee, m_scope) ? print_iterated(argument, m_scope) : print(argument));
            }
        }
        return text + ")";
    }

    // ALL_ATTENTION_FUNCTIONS.get_interface(name, default): which functions have names is known, so that the
    // default, a function of the model's own source, is never taken.
    bool is_attention_choice(const Expression& e) const {
        return e.parts.size() == 3 && e.part(2).kind != Expr::keyword &&
               m_scope.path(e.part(0)).ends_with(".ALL_ATTENTION_FUNCTIONS.get_interface");
    }

    // A layer is called with the arguments it names: **kwargs is empty.
    std::string keyword_access(const Expression& e, const Expression& callee) const {
        if ((callee.text == "pop" || callee.text == "get") && e.parts.size() == 3) return print(e.part(2));
        if (callee.text == "get" && e.parts.size() == 2) return "None";
        refuse_at(e, "** arguments are used as a dictionary");
    }

    const Scope& m_scope;
    bool m_message;  // it is read by people
};

}  // namespace

std::string print(const Expression& expression, const Scope& scope) {
    return Printer(scope).print(expression);
}

std::string print_truth(const Expression& value, const Scope& scope) {
    const bool dtype = value.kind == Expr::name && is_dtype_parameter(value.text, scope);
    return (dtype ? "hub_dtype_truth(" : "hub_truth(") + print(value, scope) + ")";
}

std::string print_message(const Expression& expression, const Scope& scope) {
    return Printer(scope, true).print(expression);
}

}  // namespace kernels::source
