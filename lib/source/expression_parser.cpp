#include "expression_parser.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/core/text.hpp"

namespace kernels::source {

ExpressionParser::Depth::Depth(ExpressionParser& owner) : parser(owner) {
    if (++parser.m_depth > deepest)
        refuse(parser.m_file, parser.peek().line, "the expression is nested too deeply");
}

bool ExpressionParser::is_keyword(std::string_view name) {
    static constexpr std::array<std::string_view, 32> words = {
        "and",   "as",   "assert", "break",  "class",    "continue", "def",    "del",
        "elif",  "else", "except", "for",    "from",     "global",   "if",     "import",
        "in",    "is",   "not",    "or",     "pass",     "raise",    "return", "try",
        "while", "with", "yield",  "lambda", "nonlocal", "async",    "await",  "finally"};
    return std::find(words.begin(), words.end(), name) != words.end();
}

const Token& ExpressionParser::peek(std::size_t ahead) const {
    return m_tokens[std::min(m_at + ahead, m_tokens.size() - 1)];
}

bool ExpressionParser::is(const Token& token, std::string_view text) {
    return (token.kind == TokenKind::op || token.kind == TokenKind::name) && token.text == text;
}

bool ExpressionParser::accept(std::string_view text) {
    if (!at(text)) return false;
    ++m_at;
    return true;
}

void ExpressionParser::expect(std::string_view text) {
    if (!accept(text)) unexpected();
}

std::string ExpressionParser::expect_name() {
    if (peek().kind != TokenKind::name || is_keyword(peek().text)) unexpected();
    return m_tokens[m_at++].text;
}

void ExpressionParser::unexpected() const {
    const Token& token = peek();
    switch (token.kind) {
        case TokenKind::newline:
            refuse(m_file, token.line, "the statement ends too early");
        case TokenKind::indent:
        case TokenKind::dedent:
            refuse(m_file, token.line, "unexpected indentation");
        case TokenKind::end:
            refuse(m_file, token.line, "the file ends too early");
        case TokenKind::string:
        case TokenKind::format:
        case TokenKind::bytes:
            refuse(m_file, token.line, "unexpected string");
        default:
            refuse(m_file, token.line, "unexpected " + backquoted(token.text));
    }
}

ExpressionPtr ExpressionParser::make(Expr kind, std::string text) const {
    auto made = std::make_unique<Expression>();
    made->kind = kind;
    made->line = peek().line;
    made->text = std::move(text);
    return made;
}

void ExpressionParser::add(Expression& parent, ExpressionPtr part) const {
    if (part) {
        parent.height = std::max(parent.height, part->height + 1);
        if (parent.height > deepest) refuse(m_file, part->line, "the expression is nested too deeply");
    }
    parent.parts.push_back(std::move(part));
}

ExpressionPtr ExpressionParser::join(Expr kind, std::string text, ExpressionPtr left, ExpressionPtr right) {
    auto made = make(kind, std::move(text));
    made->line = left->line;
    add(*made, std::move(left));
    add(*made, std::move(right));
    return made;
}

bool ExpressionParser::ends_expressions() const {
    const Token& token = peek();
    if (token.kind == TokenKind::newline || token.kind == TokenKind::end) return true;
    if (token.kind != TokenKind::op) return token.kind == TokenKind::name && token.text == "in";
    static constexpr std::array<std::string_view, 6> ends = {")", "]", "}", "=", ":", ";"};
    return std::find(ends.begin(), ends.end(), token.text) != ends.end() ||
           (token.text.size() > 1 && token.text.back() == '=');
}

ExpressionPtr ExpressionParser::several(ExpressionPtr (ExpressionParser::*one)()) {
    auto first = (this->*one)();
    if (!at(",")) return first;
    auto tuple = make(Expr::tuple, "");
    tuple->line = first->line;
    add(*tuple, std::move(first));
    while (accept(",") && !ends_expressions())
        add(*tuple, (this->*one)());
    return tuple;
}

ExpressionPtr ExpressionParser::expressions() {
    return several(&ExpressionParser::star_or_expression);
}

ExpressionPtr ExpressionParser::targets() {
    return several(&ExpressionParser::target);
}

ExpressionPtr ExpressionParser::target() {
    auto star = make(Expr::star, "");
    if (!accept("*")) return primary();
    add(*star, primary());
    return star;
}

ExpressionPtr ExpressionParser::star_or_expression() {
    auto star = make(Expr::star, "");
    if (!accept("*")) return expression();
    add(*star, expression());
    return star;
}

ExpressionPtr ExpressionParser::expression() {
    const Depth depth(*this);
    if (at("lambda")) return lambda();
    if (at("yield")) {
        auto made = unsupported("yield");
        ++m_at;
        if (accept("from")) {
            expression();
        } else if (!ends_expressions()) {
            expressions();
        }
        return made;
    }
    auto value = boolean_or();
    if (at(":=")) {
        auto made = unsupported("an assignment within an expression");
        ++m_at;
        expression();
        return made;
    }
    if (!at("if")) return value;
    auto made = make(Expr::conditional, "");
    made->line = value->line;
    ++m_at;
    add(*made, std::move(value));
    add(*made, boolean_or());
    expect("else");
    add(*made, expression());
    return made;
}

ExpressionPtr ExpressionParser::lambda() {
    auto made = unsupported("a lambda");
    ++m_at;
    while (!at(":")) {
        accept("*") || accept("**") || accept("/");
        if (peek().kind == TokenKind::name) expect_name();
        if (accept("=")) expression();
        if (!accept(",") && !at(":")) unexpected();
    }
    ++m_at;
    expression();
    return made;
}

ExpressionPtr ExpressionParser::boolean_or() {
    auto left = boolean_and();
    while (accept("or"))
        left = join(Expr::boolean, "or", std::move(left), boolean_and());
    return left;
}

ExpressionPtr ExpressionParser::boolean_and() {
    auto left = boolean_not();
    while (accept("and"))
        left = join(Expr::boolean, "and", std::move(left), boolean_not());
    return left;
}

ExpressionPtr ExpressionParser::boolean_not() {
    if (!at("not")) return comparison();
    const Depth depth(*this);
    auto made = make(Expr::unary, "not");
    ++m_at;
    add(*made, boolean_not());
    return made;
}

std::string ExpressionParser::comparison_operator() {
    static constexpr std::array<std::string_view, 6> plain = {"==", "!=", "<=", ">=", "<", ">"};
    for (const auto text : plain) {
        if (peek().kind == TokenKind::op && accept(text)) return std::string(text);
    }
    if (accept("in")) return "in";
    if (at("not") && is(peek(1), "in")) {
        m_at += 2;
        return "not in";
    }
    if (!accept("is")) return {};
    return accept("not") ? "is not" : "is";
}

namespace {

// Whether computing it twice gives the same and changes nothing: names, constants, sizes, and arithmetic of
// such. The layer's own methods may change it.
bool may_be_copied(const Expression& e) {
    const auto all_may = [&e](std::size_t first) {
        return std::all_of(e.parts.begin() + static_cast<std::ptrdiff_t>(first), e.parts.end(),
                           [](const auto& part) { return part && may_be_copied(*part); });
    };
    switch (e.kind) {
        case Expr::name:
        case Expr::number:
        case Expr::constant:
            return true;
        case Expr::attribute:
        case Expr::subscript:
        case Expr::unary:
        case Expr::binary:
            return all_may(0);
        case Expr::call: {
            static constexpr std::array<std::string_view, 4> sizes = {"size", "dim", "ndimension", "numel"};
            const Expression& callee = e.part(0);
            if (callee.is(Expr::name, "len")) return e.parts.size() == 2 && all_may(1);
            return callee.kind == Expr::attribute && !callee.part(0).is(Expr::name, "self") &&
                   std::find(sizes.begin(), sizes.end(), callee.text) != sizes.end() && all_may(0);
        }
        default:
            return false;
    }
}

}  // namespace

// `a < b < c` is `a < b and b < c`, where b is computed once.
ExpressionPtr ExpressionParser::comparison() {
    auto left = binary(0);
    ExpressionPtr chain;
    for (auto op = comparison_operator(); !op.empty(); op = comparison_operator()) {
        auto right = binary(0);
        auto again = may_be_copied(*right)
                         ? clone(*right)
                         : unsupported("a chained comparison with a call in its middle that is no size");
        auto compared = join(Expr::compare, op, std::move(left), std::move(right));
        chain =
            chain ? join(Expr::boolean, "and", std::move(chain), std::move(compared)) : std::move(compared);
        left = std::move(again);
    }
    return chain ? std::move(chain) : std::move(left);
}

ExpressionPtr ExpressionParser::binary(int level) {
    static const std::array<std::vector<std::string_view>, 6> levels = {
        {{"|"}, {"^"}, {"&"}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "//", "%", "@"}}};
    if (level == static_cast<int>(levels.size())) return unary();
    auto left = binary(level + 1);
    for (;;) {
        const auto& known = levels[static_cast<std::size_t>(level)];
        const auto found = std::find_if(known.begin(), known.end(), [&](auto text) {
            return peek().kind == TokenKind::op && peek().text == text;
        });
        if (found == known.end()) return left;
        ++m_at;
        left = join(Expr::binary, std::string(*found), std::move(left), binary(level + 1));
    }
}

ExpressionPtr ExpressionParser::unary() {
    if (at("-") || at("+") || at("~")) {
        const Depth depth(*this);
        auto made = make(Expr::unary, peek().text);
        ++m_at;
        add(*made, unary());
        return made;
    }
    if (at("await")) {
        auto made = unsupported("await");
        ++m_at;
        primary();
        return made;
    }
    auto base = primary();
    if (!accept("**")) return base;
    const Depth depth(*this);
    return join(Expr::binary, "**", std::move(base), unary());
}

ExpressionPtr ExpressionParser::primary() {
    const Depth depth(*this);
    auto value = atom();
    for (;;) {
        const int line = value->line;
        ExpressionPtr made;
        if (accept(".")) {
            made = make(Expr::attribute, "");
            add(*made, std::move(value));
            if (peek().kind != TokenKind::name) unexpected();
            made->text = peek().text;
            ++m_at;
        } else if (accept("(")) {
            made = make(Expr::call, "");
            add(*made, std::move(value));
            arguments(*made);
        } else if (accept("[")) {
            made = make(Expr::subscript, "");
            add(*made, std::move(value));
            add(*made, index());
            expect("]");
        } else {
            return value;
        }
        made->line = line;
        value = std::move(made);
    }
}

void ExpressionParser::arguments(Expression& call) {
    while (!at(")")) {
        if (peek().kind == TokenKind::name && is(peek(1), "=") && !is_keyword(peek().text)) {
            auto keyword = make(Expr::keyword, peek().text);
            m_at += 2;
            add(*keyword, expression());
            add(call, std::move(keyword));
        } else if (at("**")) {
            auto star = make(Expr::double_star, "");
            ++m_at;
            add(*star, expression());
            add(call, std::move(star));
        } else {
            auto argument = star_or_expression();
            if (at("for") || at("async")) {
                argument = comprehension(std::move(argument), "a generator");
                if (argument->kind == Expr::comprehension) argument->text = "a generator";
            }
            add(call, std::move(argument));
        }
        if (!accept(",") && !at(")")) unexpected();
    }
    ++m_at;
}

ExpressionPtr ExpressionParser::index() {
    auto first = index_item();
    if (!at(",")) return first;
    auto tuple = make(Expr::tuple, "");
    add(*tuple, std::move(first));
    while (accept(",") && !at("]"))
        add(*tuple, index_item());
    return tuple;
}

ExpressionPtr ExpressionParser::index_item() {
    auto slice = make(Expr::slice, "");
    auto first = at(":") ? nullptr : star_or_expression();
    if (!at(":")) return first;
    add(*slice, std::move(first));
    for (int bound = 0; bound < 2; ++bound) {
        const bool there = accept(":") && !at(":") && !at("]") && !at(",");
        add(*slice, there ? expression() : nullptr);
    }
    return slice;
}

}  // namespace kernels::source
