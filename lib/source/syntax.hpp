// Python source as trees of statements and expressions.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kernels::source {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Expression {
    enum class Kind {
        name,         ///< text
        number,       ///< text, in decimal
        string,       ///< text: its value
        format,       ///< an f-string; text: "{}" for each part
        formatted,    ///< part in an f-string, with more than its text to say how it is written
        constant,     ///< text: True, False, None or ...
        attribute,    ///< part.text
        subscript,    ///< part[part]
        slice,        ///< part:part:part, each may be absent
        call,         ///< part(part, …)
        keyword,      ///< text=part, in a call
        star,         ///< *part
        double_star,  ///< **part, in a call
        unary,        ///< text part
        binary,       ///< part text part
        compare,      ///< part text part
        boolean,      ///< part and|or part
        conditional,  ///< part if part else part
        tuple,
        list,
        dictionary,     ///< key, value, key, …
        comprehension,  ///< [part for part in part if part …]; with a text it is no list, but what the text
                        ///< says
        unsupported,    ///< Python that TorchScript has not; text says what
    };
    Kind kind = Kind::name;
    int line = 0;
    std::string text;
    std::vector<ExpressionPtr> parts;
    std::size_t height = 1;  ///< levels of the tree

    bool is(Kind wanted, std::string_view wanted_text) const { return kind == wanted && text == wanted_text; }
    const Expression& part(std::size_t index) const { return *parts[index]; }
};

ExpressionPtr clone(const Expression& expression);

/// The sides of `a and b and c` or `a or b or c`, from left to right.
std::vector<const Expression*> sides_of(const Expression& boolean);

/// "a.b.c" of names and attributes; empty for anything else.
std::string dotted(const Expression& expression);

struct Parameter {
    std::string name;
    int line = 0;
    int stars = 0;  ///< 1: *args, 2: **kwargs
    bool keyword_only = false;
    bool positional_only = false;  ///< before a /
    ExpressionPtr annotation;
    ExpressionPtr value;
};

struct Statement;
using StatementPtr = std::unique_ptr<Statement>;
using Block = std::vector<StatementPtr>;

struct Statement {
    enum class Kind {
        expression,  ///< value
        assign,      ///< value = value = …, the assigned value last
        annotate,    ///< value: value [= value]
        augment,     ///< value text value, text as in "+="
        return_,     ///< [value]
        raise,       ///< [value]
        assert_,     ///< value [, value]
        delete_,     ///< values
        pass,
        break_,
        continue_,
        import,       ///< names
        from_import,  ///< text: the module with its leading dots; names, or "*"
        if_,          ///< value, body, otherwise
        while_,       ///< value, body, otherwise
        for_,         ///< value in value, body, otherwise
        with,         ///< values, body
        try_,         ///< body, otherwise; the blocks of handlers
        function,     ///< text: its name; parameters, decorators, body
        class_,       ///< text: its name; values: bases, decorators, body
        unsupported,  ///< text says what
    };
    struct Alias {
        std::string name;
        std::string as;
    };
    Kind kind = Kind::pass;
    int line = 0;
    std::string text;
    std::vector<ExpressionPtr> values;
    std::vector<Alias> names;
    std::vector<Parameter> parameters;
    std::vector<ExpressionPtr> decorators;
    ExpressionPtr returns;  ///< of a function: what it says of its result, if anything
    Block body;
    Block otherwise;
    Block handlers;

    const Expression& value(std::size_t index) const { return *values[index]; }
};

using Expr = Expression::Kind;
using Stmt = Statement::Kind;

/// Reads a file. Throws Error(kernelize) with file and line for what is no Python.
Block parse(std::string_view text, const std::string& file);

/// Calls `visit` for every expression of a block, those of nested statements and of parts too, outermost
/// first.
template <typename Visit>
void for_each_expression(const Expression& expression, const Visit& visit) {
    visit(expression);
    for (const auto& part : expression.parts) {
        if (part) for_each_expression(*part, visit);
    }
}

template <typename Visit>
void for_each_statement(const Block& block, const Visit& visit) {
    for (const auto& statement : block) {
        visit(*statement);
        for (const auto* inner : {&statement->body, &statement->otherwise, &statement->handlers})
            for_each_statement(*inner, visit);
    }
}

template <typename Visit>
void for_each_expression(const Block& block, const Visit& visit) {
    for_each_statement(block, [&](const Statement& statement) {
        for (const auto& value : statement.values)
            for_each_expression(*value, visit);
    });
}

}  // namespace kernels::source
