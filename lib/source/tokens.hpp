// Python source as tokens.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kernels::source {

constexpr std::size_t largest_file = 4U << 20U;  ///< in bytes; no kernel's Python is near it

enum class TokenKind { name, number, string, format, bytes, op, newline, indent, dedent, end };

struct Token {
    TokenKind kind = TokenKind::end;
    std::string text;  ///< of a string: its value; of an f-string: what is between the quotes
    int line = 0;
    bool named_character = false;  ///< a string with \N{…}, which is not expanded
};

/// " at line N", for messages.
std::string at_line(int line);

/// Throws Error(kernelize) "file:line: why", cut where it is longer than anybody reads.
[[noreturn]] void refuse(const std::string& file, int line, const std::string& why);

/// The tokens of a file, `end` last. Comments and line ends inside brackets are gone. Throws Error(kernelize)
/// for what is no Python, and for what exceeds the limits (file size, depth of brackets and indentation).
/// `first_line` is where the text stands in the file.
std::vector<Token> tokenize(std::string_view text, const std::string& file, int first_line = 1);

/// The value of a string literal's body.
std::string unescape(std::string_view body, bool raw);

}  // namespace kernels::source
