#include "python_number.hpp"

#include <algorithm>
#include <iterator>

namespace kernels {

std::optional<std::string> python_integer(std::string_view text) {
    std::string digits = text.starts_with('-') ? "-" : "";
    if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
    const auto is_digit = [](char c) { return '0' <= c && c <= '9'; };
    if (text.empty() || !is_digit(text.front()) || !is_digit(text.back())) return std::nullopt;
    if (text.find("__") != std::string_view::npos ||
        !std::all_of(text.begin(), text.end(), [&](char c) { return is_digit(c) || c == '_'; }))
        return std::nullopt;
    std::copy_if(text.begin(), text.end(), std::back_inserter(digits), is_digit);
    return digits;
}

}  // namespace kernels
