// The text of a lowered function.
#pragma once

#include <string>
#include <utility>

namespace kernels::source {

/// Writes statements, each on the line on which it stands in the file.
class LineWriter {
  public:
    explicit LineWriter(int line) : m_line(line) {}
    void put(int line, int indent, const std::string& text) {
        for (; m_line < line; ++m_line)
            m_text += '\n';
        m_text += std::string(static_cast<std::size_t>(indent) * 2, ' ') + text + '\n';
        ++m_line;
    }
    std::string take() { return std::move(m_text); }

  private:
    std::string m_text;
    int m_line;
};

}  // namespace kernels::source
