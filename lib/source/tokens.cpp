#include "tokens.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels::source {
namespace {

// What reads this source recurses over it. No real layer comes near these.
constexpr std::size_t deepest_brackets = 100;
constexpr std::size_t deepest_indentation = 50;

bool starts_name(char c) {
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           static_cast<unsigned char>(c) >= 0x80;
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// Index of the first byte that is no UTF-8, npos when all is well.
std::size_t broken_utf8(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        const auto lead = static_cast<unsigned char>(text[i]);
        const std::size_t length = lead < 0x80                   ? 1
                                   : lead >= 0xC2 && lead < 0xE0 ? 2
                                   : lead >= 0xE0 && lead < 0xF0 ? 3
                                   : lead >= 0xF0 && lead < 0xF5 ? 4
                                                                 : 0;
        if (length == 0 || i + length > text.size()) return i;
        for (std::size_t k = 1; k < length; ++k) {
            if ((static_cast<unsigned char>(text[i + k]) & 0xC0) != 0x80) return i;
        }
        i += length;
    }
    return std::string_view::npos;
}

// Python reads every line end as \n: \r\n, and \r alone.
std::string with_plain_line_ends(std::string_view text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
        plain += text[i] == '\r' ? '\n' : text[i];
    }
    return plain;
}

void append_utf8(std::string& out, unsigned long code) {
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xC0 | (code >> 6));
        out += static_cast<char>(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        out += static_cast<char>(0xE0 | (code >> 12));
        out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
        out += static_cast<char>(0x80 | (code & 0x3F));
    } else if (code < 0x110000) {
        out += static_cast<char>(0xF0 | (code >> 18));
        out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
        out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
        out += static_cast<char>(0x80 | (code & 0x3F));
    }
}

class Tokenizer {
  public:
    Tokenizer(std::string_view text, const std::string& file, int first_line)
        : m_text(text), m_file(file), m_first_line(first_line) {}

    std::vector<Token> run() {
        if (m_text.starts_with("\xEF\xBB\xBF")) m_text.remove_prefix(3);
        if (m_text.size() > largest_file) {
            refuse(m_file, m_line, "the file is larger than " + std::to_string(largest_file >> 20) + " MiB");
        }
        if (m_text.find('\r') != std::string_view::npos) {
            m_lines = with_plain_line_ends(m_text);
            m_text = m_lines;
        }
        if (const auto zero = m_text.find('\0'); zero != std::string_view::npos) {
            refuse(m_file, line_of(zero), "a NUL byte");
        }
        if (const auto broken = broken_utf8(m_text); broken != std::string_view::npos) {
            refuse(m_file, line_of(broken), "the file is not UTF-8");
        }
        m_indents.push_back(0);
        while (m_at < m_text.size()) {
            if (m_line_start && m_brackets.empty()) indentation();
            if (m_at < m_text.size()) token();
        }
        if (!m_brackets.empty()) {
            refuse(m_file, m_brackets.back().second,
                   std::string("the bracket ") + m_brackets.back().first + " is never closed");
        }
        end_statement();
        for (; m_indents.size() > 1; m_indents.pop_back())
            add(TokenKind::dedent, "");
        add(TokenKind::end, "");
        return std::move(m_tokens);
    }

  private:
    int line_of(std::size_t offset) const {
        const auto end = m_text.begin() + static_cast<std::ptrdiff_t>(offset);
        return m_first_line + static_cast<int>(std::count(m_text.begin(), end, '\n'));
    }
    char peek(std::size_t ahead = 0) const {
        return m_at + ahead < m_text.size() ? m_text[m_at + ahead] : '\0';
    }
    void add(TokenKind kind, std::string text) { m_tokens.push_back({kind, std::move(text), m_line}); }

    void end_statement() {
        if (m_tokens.empty()) return;
        const TokenKind last = m_tokens.back().kind;
        if (last != TokenKind::newline && last != TokenKind::indent && last != TokenKind::dedent) {
            add(TokenKind::newline, "");
        }
    }

    // Blank lines and comments have no indentation.
    void indentation() {
        std::size_t width = 0;
        std::size_t at = m_at;
        for (; at < m_text.size(); ++at) {
            if (m_text[at] == '\t') {
                width = (width / 8 + 1) * 8;
            } else if (m_text[at] == ' ') {
                ++width;
            } else if (m_text[at] == '\f') {
                width = 0;  // a new page
            } else {
                break;
            }
        }
        m_at = at;
        m_line_start = false;
        const char c = peek();
        if (at == m_text.size() || c == '\n' || c == '#') return;
        if (width > m_indents.back()) {
            if (m_indents.size() > deepest_indentation)
                refuse(m_file, m_line, "the source is indented too deeply");
            m_indents.push_back(width);
            add(TokenKind::indent, "");
        }
        while (width < m_indents.back()) {
            m_indents.pop_back();
            add(TokenKind::dedent, "");
        }
        if (width != m_indents.back()) refuse(m_file, m_line, "the indentation fits no block");
    }

    void token() {
        const char c = peek();
        if (c == '\n') {
            if (m_brackets.empty()) end_statement();
            ++m_at;
            ++m_line;
            m_line_start = m_brackets.empty();
        } else if (c == ' ' || c == '\t' || c == '\f') {
            ++m_at;
        } else if (c == '#') {
            m_at = std::min(m_text.find('\n', m_at), m_text.size());
        } else if (c == '\\' && peek(1) == '\n') {
            m_at += 2;
            ++m_line;
        } else if (starts_name(c)) {
            name_or_string();
        } else if (is_digit(c) || (c == '.' && is_digit(peek(1)))) {
            number();
        } else if (c == '"' || c == '\'') {
            string("");
        } else {
            op();
        }
    }

    void name_or_string() {
        std::size_t end = m_at;
        while (end < m_text.size() && (starts_name(m_text[end]) || is_digit(m_text[end])))
            ++end;
        const std::string_view name = m_text.substr(m_at, end - m_at);
        const char next = end < m_text.size() ? m_text[end] : '\0';
        if (name.size() <= 2 && (next == '"' || next == '\'') &&
            name.find_first_not_of("rRbBuUfF") == std::string_view::npos) {
            m_at = end;
            string(name);
            return;
        }
        m_at = end;
        add(TokenKind::name, std::string(name));
    }

    void string(std::string_view prefix) {
        const int first_line = m_line;
        const char quote = peek();
        const bool triple = peek(1) == quote && peek(2) == quote;
        const std::size_t length = triple ? 3 : 1;
        const std::size_t start = m_at + length;
        std::size_t end = start;
        for (;; ++end) {
            if (end >= m_text.size() || (!triple && m_text[end] == '\n')) {
                refuse(m_file, first_line, "the string is never closed");
            }
            if (m_text[end] == '\\') {
                ++end;
                if (end < m_text.size() && m_text[end] == '\n') ++m_line;
            } else if (m_text[end] == '\n') {
                ++m_line;
            } else if (m_text[end] == quote &&
                       (!triple || m_text.substr(end, 3) == std::string_view(m_text.data() + m_at, 3))) {
                break;
            }
        }
        const std::string_view body = m_text.substr(start, end - start);
        m_at = end + length;
        const auto has = [&](char small, char large) {
            return prefix.find(small) != std::string_view::npos ||
                   prefix.find(large) != std::string_view::npos;
        };
        const bool raw = has('r', 'R');
        Token made{TokenKind::string, "", first_line};
        made.named_character = !raw && !has('b', 'B') && names_character(body);
        if (has('b', 'B')) {
            made.kind = TokenKind::bytes;
        } else if (has('f', 'F')) {
            made.kind = TokenKind::format;
            made.text = raw ? std::string(body) : unescape(body, false);
        } else {
            made.text = unescape(body, raw);
        }
        m_tokens.push_back(std::move(made));
    }

    // \N behind a backslash that is none itself.
    static bool names_character(std::string_view body) {
        for (auto at = body.find('\\'); at != std::string_view::npos; at = body.find('\\', at + 2)) {
            if (body.substr(at + 1).starts_with("N{")) return true;
        }
        return false;
    }

    void number() {
        std::size_t end = m_at;
        const bool hex = peek() == '0' && (peek(1) == 'x' || peek(1) == 'X');
        while (end < m_text.size()) {
            const char c = m_text[end];
            const bool sign =
                (c == '+' || c == '-') && !hex && (m_text[end - 1] == 'e' || m_text[end - 1] == 'E');
            if (!starts_name(c) && !is_digit(c) && c != '.' && !(end > m_at && sign)) break;
            ++end;
            if (!hex && (c == 'j' || c == 'J')) break;  // `5j.imag`
        }
        add(TokenKind::number, std::string(m_text.substr(m_at, end - m_at)));
        m_at = end;
    }

    void op() {
        static constexpr std::array<std::string_view, 47> known = {
            "**=", "//=", ">>=", "<<=", "...", "!=", "->", "+=", "-=", "*=", "/=", "%=",
            "&=",  "|=",  "^=",  "@=",  "**",  "//", ">>", "<<", "<=", ">=", "==", ":=",
            "+",   "-",   "*",   "/",   "%",   "@",  "&",  "|",  "^",  "~",  "<",  ">",
            "(",   ")",   "[",   "]",   "{",   "}",  ",",  ":",  ".",  ";",  "="};
        const auto rest = m_text.substr(m_at);
        const auto* found =
            std::find_if(known.begin(), known.end(), [&](auto text) { return rest.starts_with(text); });
        if (found == known.end())
            refuse(m_file, m_line, std::string("the character ") + peek() + " is no Python");
        const char c = found->front();
        if (c == '(' || c == '[' || c == '{') {
            if (m_brackets.size() >= deepest_brackets) {
                refuse(m_file, m_line,
                       "more than " + std::to_string(deepest_brackets) + " brackets are open");
            }
            m_brackets.emplace_back(c, m_line);
        } else if (c == ')' || c == ']' || c == '}') {
            const char opening = c == ')' ? '(' : c == ']' ? '[' : '{';
            if (m_brackets.empty() || m_brackets.back().first != opening) {
                refuse(m_file, m_line, std::string("the bracket ") + c + " closes none");
            }
            m_brackets.pop_back();
        }
        add(TokenKind::op, std::string(*found));
        m_at += found->size();
    }

    std::string_view m_text;
    std::string m_lines;  // the text, where it had to be changed
    const std::string& m_file;
    std::size_t m_at = 0;
    int m_first_line;
    int m_line = m_first_line;
    bool m_line_start = true;
    std::vector<std::size_t> m_indents;
    std::vector<std::pair<char, int>> m_brackets;  // and their lines
    std::vector<Token> m_tokens;
};

}  // namespace

std::string at_line(int line) {
    return " at line " + std::to_string(line);
}

void refuse(const std::string& file, int line, const std::string& why) {
    constexpr std::size_t longest = 500;
    std::size_t end = std::min(why.size(), longest);
    while (end < why.size() && (static_cast<unsigned char>(why[end]) & 0xC0) == 0x80)
        --end;
    throw Error(ErrorCode::kernelize, file + ":" + std::to_string(line) + ": " + why.substr(0, end) +
                                          (end < why.size() ? "…" : ""));
}

std::vector<Token> tokenize(std::string_view text, const std::string& file, int first_line) {
    return Tokenizer(text, file, first_line).run();
}

std::string unescape(std::string_view body, bool raw) {
    std::string out;
    for (std::size_t i = 0; i < body.size(); ++i) {
        if (body[i] != '\\' || raw || i + 1 == body.size()) {
            out += body[i];
            continue;
        }
        const char c = body[++i];
        static constexpr std::string_view letters = "abfnrtv\\'\"";
        static constexpr std::string_view values = "\a\b\f\n\r\t\v\\'\"";
        const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
        if (const auto known = letters.find(c); known != std::string_view::npos) {
            out += values[known];
        } else if (c == '\n') {
            // the line goes on
        } else if (c >= '0' && c <= '7') {
            unsigned value = 0;
            std::size_t end = i;
            while (end < body.size() && end < i + 3 && body[end] >= '0' && body[end] <= '7')
                value = value * 8 + static_cast<unsigned>(body[end++] - '0');
            append_utf8(out, value);
            i = end - 1;
        } else if (digits != 0 && i + digits < body.size()) {
            unsigned long value = 0;
            const char* first = body.data() + i + 1;
            const auto [end, failure] = std::from_chars(first, first + digits, value, 16);
            if (failure == std::errc() && end == first + digits) append_utf8(out, value);
            i += digits;
        } else {
            out += '\\';
            out += c;
        }
    }
    return out;
}

}  // namespace kernels::source
