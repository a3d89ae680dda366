// The leaves of expressions, and what stands in brackets.
#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include "expression_parser.hpp"
#include "kernels/core/text.hpp"

namespace kernels::source {

namespace {
constexpr const char* too_large = "a whole number beyond 64 bits";
}  // namespace

ExpressionPtr ExpressionParser::atom() {
    const Token& token = peek();
    switch (token.kind) {
        case TokenKind::name: {
            if (is_keyword(token.text)) unexpected();
            const bool constant = token.text == "True" || token.text == "False" || token.text == "None";
            auto made = make(constant ? Expr::constant : Expr::name, token.text);
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
        auto list = make(Expr::list, "");
        ++m_at;
        while (!at("]")) {
            auto element = star_or_expression();
            if (list->parts.empty() && (at("for") || at("async"))) {
                auto made = comprehension(std::move(element), "a list comprehension with several loops");
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
        auto made = make(Expr::constant, "...");
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
        if (base != 0 && failure == std::errc::result_out_of_range && end == text.data() + text.size())
            return unsupported(too_large);
        if (base == 0 || failure != std::errc() || end != text.data() + text.size()) {
            refuse(m_file, token.line, backquoted(token.text) + " is no number that TorchScript has");
        }
        return make(Expr::number, std::to_string(value));
    }
    double value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool is_float = text.find_first_of(".eE") != std::string::npos;
    long long whole = 0;
    const auto integer = std::from_chars(text.data(), text.data() + text.size(), whole);
    if (!is_float && integer.ec == std::errc::result_out_of_range && integer.ptr == text.data() + text.size())
        return unsupported(too_large);
    if (failure == std::errc::invalid_argument || end != text.data() + text.size() ||
        (!is_float && integer.ec != std::errc())) {
        refuse(m_file, token.line, backquoted(token.text) + " is no number that TorchScript has");
    }
    return make(Expr::number, is_float ? text : std::to_string(whole));
}

// Adjacent strings are one.
ExpressionPtr ExpressionParser::string() {
    auto made = make(Expr::string, "");
    bool bytes = false;
    bool named = false;
    for (; peek().kind == TokenKind::string || peek().kind == TokenKind::format ||
           peek().kind == TokenKind::bytes;
         ++m_at) {
        const Token& token = peek();
        bytes = bytes || token.kind == TokenKind::bytes;
        named = named || token.named_character;
        if (token.kind == TokenKind::format) {
            if (made->kind == Expr::string) {
                // What came before was plain text; in a format its braces are doubled.
                Token plain{TokenKind::format, "", token.line};
                for (const char c : std::exchange(made->text, ""))
                    plain.text += c == '{' ? "{{" : c == '}' ? "}}" : std::string(1, c);
                made->kind = Expr::format;
                format(plain, *made);
            }
            format(token, *made);
        } else {
            made->text += token.text;
        }
    }
    if (bytes) return unsupported("bytes");
    return named ? unsupported("a character by its name (\\N{…})") : std::move(made);
}

// Splits an f-string. A format behind ':' or '!' is left out, and the part says that there is one.
void ExpressionParser::format(const Token& token, Expression& out) {
    const std::string_view body = token.text;
    for (std::size_t i = 0; i < body.size(); ++i) {
        if ((body[i] == '{' || body[i] == '}') && i + 1 < body.size() && body[i + 1] == body[i]) {
            // The text {} would be a place for a value: it is one then.
            const bool place = body[i] == '}' && out.text.ends_with('{');
            if (place) {
                auto braces = make(Expr::string, "{}");
                braces->line = token.line;
                add(out, std::move(braces));
            }
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
        bool plain = stop == std::string_view::npos;
        if (const auto text = trimmed(inner); text.ends_with('=') && !text.ends_with("==")) {
            plain = false;
            out.text += inner;
            inner = inner.substr(0, inner.rfind('='));
        }
        const Depth nested(*this);
        auto tokens = tokenize("(" + std::string(inner) + ")", m_file, token.line);
        for (auto& one : tokens)
            one.line = token.line;
        ExpressionParser parser(tokens, m_file, m_depth);
        auto part = parser.expressions();
        if (parser.peek().kind != TokenKind::newline) parser.unexpected();
        out.text += "{}";
        if (plain) {
            add(out, std::move(part));
        } else {
            auto formatted = make(Expr::formatted, "");
            formatted->line = token.line;
            add(*formatted, std::move(part));
            add(out, std::move(formatted));
        }
        i = end;
    }
}

ExpressionPtr ExpressionParser::bracketed() {
    auto tuple = make(Expr::tuple, "");
    ++m_at;
    bool comma = false;
    while (!at(")")) {
        auto element = star_or_expression();
        if (tuple->parts.empty() && (at("for") || at("async"))) {
            auto made = comprehension(std::move(element), "a generator");
            expect(")");
            made->kind = Expr::unsupported;
            made->text = "a generator";
            made->parts.clear();
            return made;
        }
        add(*tuple, std::move(element));
        comma = at(",");
        if (!accept(",") && !at(")")) unexpected();
    }
    ++m_at;
    if (tuple->parts.size() == 1 && !comma && tuple->part(0).kind != Expr::star)
        return std::move(tuple->parts[0]);
    return tuple;
}

// A dictionary; sets and comprehensions are none that TorchScript has.
ExpressionPtr ExpressionParser::braces() {
    auto made = make(Expr::dictionary, "");
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
            comprehension(make(Expr::name, "_"), "");
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
    auto made = make(Expr::comprehension, "");
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
            const bool is_lambda = at("lambda");
            auto condition = is_lambda ? lambda() : boolean_or();
            plain = plain && !is_lambda;
            if (plain) add(*made, std::move(condition));
        }
    }
    if (plain) return made;
    auto refused = unsupported(what);
    refused->line = made->line;
    return refused;
}

}  // namespace kernels::source
