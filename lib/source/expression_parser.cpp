#include "expression_parser.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "kernels/core/text.hpp"

namespace kernels::source {
namespace {

using Kind = Expression::Kind;

constexpr std::size_t deepest = 150;  // levels of a tree; TorchScript's compiler recurses over it as well

bool is_keyword(std::string_view name) {
    static constexpr std::array<std::string_view, 32> words = {
        "and",   "as",   "assert", "break",  "class",    "continue", "def",    "del",
        "elif",  "else", "except", "for",    "from",     "global",   "if",     "import",
        "in",    "is",   "not",    "or",     "pass",     "raise",    "return", "try",
        "while", "with", "yield",  "lambda", "nonlocal", "async",    "await",  "finally"};
    return std::find(words.begin(), words.end(), name) != words.end();
}

}  // namespace

// Counts the calls that are under way.
struct ExpressionParser::Depth {
    explicit Depth(ExpressionParser& owner) : parser(owner) {
        if (++parser.m_depth > deepest)
            refuse(parser.m_file, parser.peek().line, "the expression is nested too deeply");
    }
    ~Depth() { --parser.m_depth; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;
    ExpressionParser& parser;
};

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

ExpressionPtr ExpressionParser::make(Kind kind, std::string text) const {
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

ExpressionPtr ExpressionParser::join(Kind kind, std::string text, ExpressionPtr left, ExpressionPtr right) {
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
    auto tuple = make(Kind::tuple, "");
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
    auto star = make(Kind::star, "");
    if (!accept("*")) return primary();
    add(*star, primary());
    return star;
}

ExpressionPtr ExpressionParser::star_or_expression() {
    auto star = make(Kind::star, "");
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
    auto made = make(Kind::conditional, "");
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
        left = join(Kind::boolean, "or", std::move(left), boolean_and());
    return left;
}

ExpressionPtr ExpressionParser::boolean_and() {
    auto left = boolean_not();
    while (accept("and"))
        left = join(Kind::boolean, "and", std::move(left), boolean_not());
    return left;
}

ExpressionPtr ExpressionParser::boolean_not() {
    if (!at("not")) return comparison();
    const Depth depth(*this);
    auto made = make(Kind::unary, "not");
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

// `a < b < c` is `a < b and b < c`, where b is computed once: only a name or a constant may be copied.
ExpressionPtr ExpressionParser::comparison() {
    auto left = binary(0);
    ExpressionPtr chain;
    for (auto op = comparison_operator(); !op.empty(); op = comparison_operator()) {
        auto right = binary(0);
        const bool simple =
            right->kind == Kind::name || right->kind == Kind::number || right->kind == Kind::constant;
        auto again =
            simple ? clone(*right) : unsupported("a chained comparison with more than a name in its middle");
        auto compared = join(Kind::compare, op, std::move(left), std::move(right));
        chain =
            chain ? join(Kind::boolean, "and", std::move(chain), std::move(compared)) : std::move(compared);
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
        left = join(Kind::binary, std::string(*found), std::move(left), binary(level + 1));
    }
}

ExpressionPtr ExpressionParser::unary() {
    if (at("-") || at("+") || at("~")) {
        const Depth depth(*this);
        auto made = make(Kind::unary, peek().text);
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
    return join(Kind::binary, "**", std::move(base), unary());
}

ExpressionPtr ExpressionParser::primary() {
    const Depth depth(*this);
    auto value = atom();
    for (;;) {
        const int line = value->line;
        ExpressionPtr made;
        if (accept(".")) {
            made = make(Kind::attribute, "");
            add(*made, std::move(value));
            if (peek().kind != TokenKind::name) unexpected();
            made->text = peek().text;
            ++m_at;
        } else if (accept("(")) {
            made = make(Kind::call, "");
            add(*made, std::move(value));
            arguments(*made);
        } else if (accept("[")) {
            made = make(Kind::subscript, "");
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

ExpressionPtr ExpressionParser::atom() {
    const Token& token = peek();
    switch (token.kind) {
        case TokenKind::name: {
            if (is_keyword(token.text)) unexpected();
            const bool constant = token.text == "True" || token.text == "False" || token.text == "None";
            auto made = make(constant ? Kind::constant : Kind::name, token.text);
            ++m_at;
            return made;
        }
        case TokenKind::number: {
            auto made = number(token);
            ++m_at;
            return made;
        }
        case TokenKind::string:
        case TokenKind::format:
        case TokenKind::bytes:
            return string();
        case TokenKind::op:
            break;
        default:
            unexpected();
    }
    if (at("(")) return bracketed();
    if (at("[")) {
        auto list = make(Kind::list, "");
        ++m_at;
        while (!at("]")) {
            auto element = star_or_expression();
            if (list->parts.empty() && (at("for") || at("async"))) {
                auto made = comprehension(std::move(element),
                                          "a list comprehension with a condition or several loops");
                expect("]");
                return made;
            }
            add(*list, std::move(element));
            if (!accept(",") && !at("]")) unexpected();
        }
        ++m_at;
        return list;
    }
    if (at("{")) return braces();
    if (at("...")) {
        auto made = make(Kind::constant, "...");
        ++m_at;
        return made;
    }
    unexpected();
}

// TorchScript reads decimal numbers only.
ExpressionPtr ExpressionParser::number(const Token& token) const {
    std::string text;
    std::copy_if(token.text.begin(), token.text.end(), std::back_inserter(text),
                 [](char c) { return c != '_'; });
    if (text.back() == 'j' || text.back() == 'J') return unsupported("a complex number");
    const bool prefixed = text.size() > 2 && text[0] == '0' && text[1] >= 'A';
    if (prefixed) {
        const char kind = static_cast<char>(text[1] | 0x20);
        const int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
        long long value = 0;
        const auto [end, failure] =
            std::from_chars(text.data() + 2, text.data() + text.size(), value, base == 0 ? 10 : base);
        if (base == 0 || failure != std::errc() || end != text.data() + text.size()) {
            refuse(m_file, token.line, backquoted(token.text) + " is no number that TorchScript has");
        }
        return make(Kind::number, std::to_string(value));
    }
    double value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool is_float = text.find_first_of(".eE") != std::string::npos;
    long long whole = 0;
    const auto integer = std::from_chars(text.data(), text.data() + text.size(), whole);
    if (failure == std::errc::invalid_argument || end != text.data() + text.size() ||
        (!is_float && integer.ec != std::errc())) {
        refuse(m_file, token.line, backquoted(token.text) + " is no number that TorchScript has");
    }
    return make(Kind::number, is_float ? text : std::to_string(whole));
}

// Adjacent strings are one.
ExpressionPtr ExpressionParser::string() {
    auto made = make(Kind::string, "");
    bool bytes = false;
    for (; peek().kind == TokenKind::string || peek().kind == TokenKind::format ||
           peek().kind == TokenKind::bytes;
         ++m_at) {
        const Token& token = peek();
        bytes = bytes || token.kind == TokenKind::bytes;
        if (token.kind == TokenKind::format) {
            if (made->kind == Kind::string) {
                // What came before was plain text; in a format its braces are doubled.
                Token plain{TokenKind::format, "", token.line};
                for (const char c : std::exchange(made->text, ""))
                    plain.text += c == '{' ? "{{" : c == '}' ? "}}" : std::string(1, c);
                made->kind = Kind::format;
                format(plain, *made);
            }
            format(token, *made);
        } else {
            made->text += token.text;
        }
    }
    return bytes ? unsupported("bytes") : std::move(made);
}

// Splits an f-string. A format behind ':' or '!' is left out: such strings are words for people here.
void ExpressionParser::format(const Token& token, Expression& out) {
    const std::string_view body = token.text;
    for (std::size_t i = 0; i < body.size(); ++i) {
        if ((body[i] == '{' || body[i] == '}') && i + 1 < body.size() && body[i + 1] == body[i]) {
            if (body[i] == '}' && out.text.ends_with('{'))
                refuse(m_file, token.line, "an f-string with the text {}");
            out.text += body[i++];
            continue;
        }
        if (body[i] != '{') {
            out.text += body[i];
            continue;
        }
        std::size_t end = i + 1;
        std::size_t stop = std::string_view::npos;  // where the expression ends
        int depth = 0;
        char quote = 0;
        for (; end < body.size(); ++end) {
            const char c = body[end];
            if (quote != 0) {
                if (c == quote) quote = 0;
            } else if (c == '"' || c == '\'') {
                quote = c;
            } else if (c == '(' || c == '[' || c == '{') {
                ++depth;
            } else if ((c == ')' || c == ']' || c == '}') && depth > 0) {
                --depth;
            } else if (depth == 0 && c == '}') {
                break;
            } else if (depth == 0 && stop == std::string_view::npos &&
                       (c == ':' || (c == '!' && end + 1 < body.size() && body[end + 1] != '='))) {
                stop = end;
            }
        }
        if (end == body.size()) refuse(m_file, token.line, "the f-string has a { that is never closed");
        std::string_view inner = body.substr(i + 1, std::min(stop, end) - i - 1);
        if (const auto text = trimmed(inner); text.ends_with('=') && !text.ends_with("==")) {
            out.text += inner;
            inner = inner.substr(0, inner.rfind('='));
        }
        const Depth nested(*this);
        auto tokens = tokenize("(" + std::string(inner) + ")", m_file);
        for (auto& one : tokens)
            one.line = token.line;
        ExpressionParser parser(tokens, m_file, m_depth);
        auto part = parser.expressions();
        if (parser.peek().kind != TokenKind::newline) parser.unexpected();
        out.text += "{}";
        add(out, std::move(part));
        i = end;
    }
}

ExpressionPtr ExpressionParser::bracketed() {
    auto tuple = make(Kind::tuple, "");
    ++m_at;
    bool comma = false;
    while (!at(")")) {
        auto element = star_or_expression();
        if (tuple->parts.empty() && (at("for") || at("async"))) {
            auto made = comprehension(std::move(element), "a generator");
            expect(")");
            made->kind = Kind::unsupported;
            made->text = "a generator";
            made->parts.clear();
            return made;
        }
        add(*tuple, std::move(element));
        comma = at(",");
        if (!accept(",") && !at(")")) unexpected();
    }
    ++m_at;
    if (tuple->parts.size() == 1 && !comma && tuple->part(0).kind != Kind::star)
        return std::move(tuple->parts[0]);
    return tuple;
}

// A dictionary; sets and comprehensions are none that TorchScript has.
ExpressionPtr ExpressionParser::braces() {
    auto made = make(Kind::dictionary, "");
    ++m_at;
    std::string what;
    while (!at("}")) {
        if (accept("**")) {
            what = "** in a dictionary";
            binary(0);
        } else {
            auto key = star_or_expression();
            if (accept(":")) {
                add(*made, std::move(key));
                add(*made, expression());
            } else {
                what = "a set";
            }
        }
        if (at("for") || at("async")) {
            comprehension(make(Kind::name, "_"), "");
            what = "a set or dictionary comprehension";
        }
        if (!accept(",") && !at("}")) unexpected();
    }
    ++m_at;
    if (what.empty()) return made;
    auto refused = unsupported(what);
    refused->line = made->line;
    return refused;
}

ExpressionPtr ExpressionParser::comprehension(ExpressionPtr element, const std::string& what) {
    auto made = make(Kind::comprehension, "");
    made->line = element->line;
    add(*made, std::move(element));
    bool plain = true;
    for (int loops = 0; at("for") || at("async"); ++loops) {
        plain = plain && loops == 0 && !accept("async");
        accept("async");
        expect("for");
        auto target = targets();
        expect("in");
        auto iterated = boolean_or();
        if (loops == 0) {
            add(*made, std::move(target));
            add(*made, std::move(iterated));
        }
        while (accept("if")) {
            plain = false;
            at("lambda") ? lambda() : boolean_or();
        }
    }
    if (plain) return made;
    auto refused = unsupported(what);
    refused->line = made->line;
    return refused;
}

void ExpressionParser::arguments(Expression& call) {
    while (!at(")")) {
        if (peek().kind == TokenKind::name && is(peek(1), "=") && !is_keyword(peek().text)) {
            auto keyword = make(Kind::keyword, peek().text);
            m_at += 2;
            add(*keyword, expression());
            add(call, std::move(keyword));
        } else if (at("**")) {
            auto star = make(Kind::double_star, "");
            ++m_at;
            add(*star, expression());
            add(call, std::move(star));
        } else {
            auto argument = star_or_expression();
            if (at("for") || at("async")) {
                comprehension(std::move(argument), "");
                argument = unsupported("a generator");
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
    auto tuple = make(Kind::tuple, "");
    add(*tuple, std::move(first));
    while (accept(",") && !at("]"))
        add(*tuple, index_item());
    return tuple;
}

ExpressionPtr ExpressionParser::index_item() {
    auto slice = make(Kind::slice, "");
    auto first = at(":") ? nullptr : star_or_expression();
    if (!at(":")) return first;
    add(*slice, std::move(first));
    for (int bound = 0; bound < 2; ++bound) {
        const bool there = accept(":") && !at(":") && !at("]") && !at(",");
        add(*slice, there ? expression() : nullptr);
    }
    return slice;
}

ExpressionPtr clone(const Expression& expression) {
    auto made = std::make_unique<Expression>();
    made->kind = expression.kind;
    made->line = expression.line;
    made->text = expression.text;
    made->height = expression.height;
    for (const auto& part : expression.parts)
        made->parts.push_back(part ? clone(*part) : nullptr);
    return made;
}

std::string dotted(const Expression& expression) {
    if (expression.kind == Kind::name) return expression.text;
    if (expression.kind != Kind::attribute) return {};
    const std::string base = dotted(expression.part(0));
    return base.empty() ? base : base + "." + expression.text;
}

}  // namespace kernels::source
