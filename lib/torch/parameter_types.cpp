#include "parameter_types.hpp"

#include <torch/csrc/jit/runtime/operator.h>

#include <algorithm>
#include <map>
#include <utility>

#include "kernels/core/error.hpp"
#include "source/finished_class.hpp"
#include "source/function_scope.hpp"

namespace kernels::torchscript {
namespace {

using source::Expr;
using source::Expression;
using source::FunctionSource;

// A function that hands its argument on to one that hands it on, …
constexpr int longest_way = 6;

class Uses {
  public:
    explicit Uses(const HubCompilation& compilation) : m_compilation(compilation) {}

    c10::TypePtr of(const FunctionSource& function, const std::string& name, int depth) {
        // Each is asked once; that also ends circles.
        const auto [known, is_new] = m_known.try_emplace({function.definition, name});
        if (is_new) known->second = found_in(function, name, depth);
        return known->second;
    }

  private:
    c10::TypePtr found_in(const FunctionSource& function, const std::string& name, int depth) {
        c10::TypePtr found;
        source::for_each_expression(function.definition->body, [&](const Expression& expression) {
            if (!found && expression.kind == Expr::call) found = by_call(function, name, expression, depth);
            if (!found && expression.kind == Expr::compare) found = by_comparison(name, expression);
        });
        if (!found) found = by_unpacking(function, name, depth);
        return found;
    }

    c10::TypePtr by_call(const FunctionSource& function, const std::string& name, const Expression& call,
                         int depth) {
        for (std::size_t i = 1; i < call.parts.size(); ++i) {
            const auto& argument = call.part(i);
            if (argument.kind == Expr::star) return nullptr;  // from here on positions are not known
            const bool by_keyword = argument.kind == Expr::keyword;
            if (!(by_keyword ? argument.part(0) : argument).is(Expr::name, name)) continue;
            if (auto type = wanted(function, call.part(0), i - 1, by_keyword ? argument.text : "", depth))
                return type;
        }
        return nullptr;
    }

    // What the callee takes as the argument of that position or, where there is one, of that name.
    c10::TypePtr wanted(const FunctionSource& function, const Expression& callee, std::size_t position,
                        const std::string& name, int depth) {
        const auto& package = *function.package;
        if (callee.kind == Expr::attribute) {
            const auto owner = source::resolve(package, *function.module, callee.part(0));
            if (owner.kind == source::Symbol::Kind::ops) return wanted_by_op(callee.text, position, name);
            if (callee.text == "apply" && owner.kind == source::Symbol::Kind::class_) {
                if (const auto forward = autograd(function, owner))
                    return wanted_by_function(*forward, position, name, depth);
            }
        }
        const auto symbol = source::resolve(package, *function.module, callee);
        if (symbol.kind != source::Symbol::Kind::function) return nullptr;
        return wanted_by_function({function.package, symbol.module, symbol.statement}, position, name, depth);
    }

    static std::optional<FunctionSource> autograd(const FunctionSource& from, const source::Symbol& symbol) {
        try {
            return source::autograd_forward(from, symbol);
        } catch (const Error&) {
            return std::nullopt;  // whoever compiles it says what is wrong with it
        }
    }

    c10::TypePtr wanted_by_op(const std::string& op, std::size_t position, const std::string& name) const {
        const auto operators = torch::jit::getAllOperatorsFor(
            c10::Symbol::fromQualString(m_compilation.op_namespace() + "::" + op));
        if (operators.size() != 1) return nullptr;
        const auto& arguments = operators.front()->schema().arguments();
        if (name.empty()) return position < arguments.size() ? arguments[position].type() : nullptr;
        for (const auto& one : arguments) {
            if (one.name() == name) return one.type();
        }
        return nullptr;
    }

    c10::TypePtr wanted_by_function(const FunctionSource& function, std::size_t position,
                                    const std::string& name, int depth) {
        const auto& parameters = function.definition->parameters;
        std::size_t at = position + (function.context ? 1 : 0);
        if (!name.empty()) {
            at = 0;
            while (at < parameters.size() && parameters[at].name != name)
                ++at;
        }
        if (at >= parameters.size()) return nullptr;
        for (std::size_t i = 0; i <= at; ++i) {
            if (parameters[i].stars != 0) return nullptr;
        }
        const auto& parameter = parameters[at];
        if (auto type = m_compilation.annotated(function, parameter.annotation.get())) return type;
        if (depth < longest_way) {
            if (auto type = of(function, parameter.name, depth + 1)) return type;
        }
        return parameter.value ? type_of_literal(*parameter.value) : nullptr;
    }

    static bool is_text(const Expression& value) {
        if (value.kind != Expr::tuple && value.kind != Expr::list) return value.kind == Expr::string;
        return std::any_of(value.parts.begin(), value.parts.end(),
                           [](const auto& part) { return part->kind == Expr::string; });
    }

    // x == "silu", x in (None, "silu")
    static c10::TypePtr by_comparison(const std::string& name, const Expression& compare) {
        const bool left = compare.part(0).is(Expr::name, name) && is_text(compare.part(1));
        const bool right = compare.part(1).is(Expr::name, name) && compare.part(0).kind == Expr::string &&
                           (compare.text == "==" || compare.text == "!=");
        return left || right ? c10::StringType::get() : nullptr;
    }

    // a, b = x
    c10::TypePtr by_unpacking(const FunctionSource& function, const std::string& name, int depth) {
        c10::TypePtr found;
        source::for_each_statement(function.definition->body, [&](const source::Statement& statement) {
            if (found || statement.kind != source::Statement::Kind::assign || statement.values.size() != 2)
                return;
            const auto& target = statement.value(0);
            if (target.kind != Expr::tuple || !statement.value(1).is(Expr::name, name)) return;
            std::vector<c10::TypePtr> elements;
            for (const auto& part : target.parts) {
                if (part->kind != Expr::name) return;
                const auto type = depth < longest_way ? of(function, part->text, depth + 1) : nullptr;
                elements.push_back(type ? type : c10::TensorType::get());
            }
            found = c10::TupleType::create(elements);
        });
        return found;
    }

    const HubCompilation& m_compilation;
    std::map<std::pair<const source::Statement*, std::string>, c10::TypePtr> m_known;
};

}  // namespace

c10::TypePtr type_by_use(const HubCompilation& compilation, const source::FunctionSource& function,
                         const source::Parameter& parameter) {
    // What is put in its place may be of another type, unless it is there for None.
    const bool none = parameter.value && parameter.value->is(Expr::constant, "None");
    if (!none && source::assigns(function, parameter.name)) return nullptr;
    return Uses(compilation).of(function, parameter.name, 0);
}

c10::TypePtr type_of_literal(const source::Expression& value) {
    switch (value.kind) {
        case Expr::number:
            if (value.text.find_first_of("jJ") != std::string::npos) return nullptr;
            if (value.text.find_first_of(".eE") == std::string::npos) return c10::IntType::get();
            return c10::FloatType::get();
        case Expr::string:
            return c10::StringType::get();
        case Expr::constant:
            if (value.text == "True" || value.text == "False") return c10::BoolType::get();
            return nullptr;
        case Expr::unary:
            return value.text == "-" && value.part(0).kind == Expr::number ? type_of_literal(value.part(0))
                                                                           : nullptr;
        case Expr::tuple: {
            std::vector<c10::TypePtr> elements;
            for (const auto& part : value.parts) {
                elements.push_back(type_of_literal(*part));
                if (elements.back() == nullptr) return nullptr;
            }
            return elements.empty() ? nullptr : c10::TupleType::create(elements);
        }
        default:
            return nullptr;
    }
}

}  // namespace kernels::torchscript
