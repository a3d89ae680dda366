#include "common/table.hpp"

#include <algorithm>
#include <cstdio>

namespace kernels::app {

void print_rows(const std::vector<std::vector<std::string>>& rows) {
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t column = 0; column < row.size(); ++column) {
            std::size_t width = 0;
            for (const auto& other : rows) {
                if (column < other.size()) width = std::max(width, other[column].size());
            }
            line += row[column];
            if (column + 1 < row.size()) line += std::string(width - row[column].size() + 2, ' ');
        }
        std::puts(line.c_str());
    }
}

}  // namespace kernels::app
