// Python source as lines: blocks by indentation, statements by brackets and quotes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kernels::torchscript {

/// Half-open range of lines.
struct LineRange {
    std::size_t begin = 0;
    std::size_t end = 0;
};

/// How deep a statement is open behind some text; strings and comments do not count.
class StatementState {
  public:
    void feed(std::string_view line);
    bool open() const noexcept { return m_depth > 0 || !m_quote.empty() || m_continued; }

  private:
    int m_depth = 0;
    std::size_t m_length = 0;  ///< characters outside strings and comments
    std::string m_quote;       ///< the triple quote that is open
    bool m_continued = false;
};

std::size_t indentation(std::string_view line) noexcept;
bool is_blank(std::string_view line) noexcept;  ///< empty or a comment

/// The statement that begins at `line`, with everything that its brackets, quotes and backslashes take in.
std::size_t statement_end(const std::vector<std::string>& lines, std::size_t line);

/// The statement at `line` and the indented block behind it.
LineRange block(const std::vector<std::string>& lines, std::size_t line);

/// The first lines of the statements directly in `range` (one indentation level).
std::vector<std::size_t> statements(const std::vector<std::string>& lines, LineRange range);

/// The parts of `text` between commas that are in no brackets and no string.
std::vector<std::string> split_arguments(std::string_view text);

}  // namespace kernels::torchscript
