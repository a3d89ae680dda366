// Text in columns.
#pragma once

#include <string>
#include <vector>

namespace kernels::app {

/// Prints rows with two spaces between columns, each as wide as its widest field. Nothing stands behind the
/// last field of a row.
void print_rows(const std::vector<std::vector<std::string>>& rows);

}  // namespace kernels::app
