#include "python_lines.hpp"

#include <algorithm>

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels::torchscript {
namespace {

// TorchScript's parser recurses; deeper sources than any real layer has would exhaust its stack.
constexpr int deepest_brackets = 200;
// So do chains of operators, which need no brackets. Strings and comments do not count.
constexpr std::size_t longest_statement = 4000;

}  // namespace

void StatementState::feed(std::string_view line) {
    m_continued = false;
    for (std::size_t i = 0; i < line.size(); ++i) {
        if (!m_quote.empty()) {
            if (line[i] == '\\') {
                ++i;
            } else if (line.substr(i).starts_with(m_quote)) {
                i += m_quote.size() - 1;
                m_quote.clear();
            }
            continue;
        }
        const char c = line[i];
        if (c == '#') break;
        if (c != ' ' && ++m_length > longest_statement) {
            throw Error(ErrorCode::kernelize, "the source has a statement of more than " +
                                                  std::to_string(longest_statement) + " characters");
        }
        if (c == '"' || c == '\'') {
            const std::string triple(3, c);
            if (line.substr(i).starts_with(triple)) {
                m_quote = triple;
                i += 2;
            } else {
                // A plain string ends on its line.
                for (++i; i < line.size() && line[i] != c; ++i) {
                    if (line[i] == '\\') ++i;
                }
            }
        } else if (c == '(' || c == '[' || c == '{') {
            if (++m_depth > deepest_brackets) {
                throw Error(ErrorCode::kernelize,
                            "the source nests more than " + std::to_string(deepest_brackets) + " brackets");
            }
        } else if (c == ')' || c == ']' || c == '}') {
            --m_depth;
        } else if (c == '\\' && i + 1 == line.size()) {
            m_continued = true;
        }
    }
}

std::size_t indentation(std::string_view line) noexcept {
    const auto first = line.find_first_not_of(" \t");
    return first == std::string_view::npos ? line.size() : first;
}

bool is_blank(std::string_view line) noexcept {
    const auto text = trimmed(line);
    return text.empty() || text.front() == '#';
}

std::size_t statement_end(const std::vector<std::string>& lines, std::size_t line) {
    StatementState state;
    do {
        state.feed(lines[line++]);
    } while (state.open() && line < lines.size());
    return line;
}

LineRange block(const std::vector<std::string>& lines, std::size_t line) {
    const std::size_t own = indentation(lines[line]);
    std::size_t end = statement_end(lines, line);
    std::size_t last = end;  // behind the last line that is not blank
    while (end < lines.size()) {
        if (is_blank(lines[end])) {
            ++end;
        } else if (indentation(lines[end]) > own) {
            end = statement_end(lines, end);
            last = end;
        } else {
            break;
        }
    }
    return {line, last};
}

std::vector<std::size_t> statements(const std::vector<std::string>& lines, LineRange range) {
    std::vector<std::size_t> found;
    for (std::size_t line = range.begin; line < range.end;) {
        if (is_blank(lines[line])) {
            ++line;
            continue;
        }
        found.push_back(line);
        line = block(lines, line).end;
    }
    return found;
}

std::vector<std::string> split_arguments(std::string_view text) {
    std::vector<std::string> parts;
    std::string part;
    int depth = 0;
    char quote = 0;
    for (const char c : text) {
        if (quote != 0) {
            if (c == quote) quote = 0;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '(' || c == '[' || c == '{') {
            ++depth;
        } else if (c == ')' || c == ']' || c == '}') {
            --depth;
        } else if (c == ',' && depth == 0) {
            parts.emplace_back(trimmed(part));
            part.clear();
            continue;
        }
        part += c == '\n' ? ' ' : c;
    }
    if (!trimmed(part).empty()) parts.emplace_back(trimmed(part));
    return parts;
}

}  // namespace kernels::torchscript
