// The options of `kernels` for what the library's hints advise.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/arguments.hpp"
#include "kernels/core/error.hpp"

namespace kernels::app {

/// `text` and, in parentheses, the options of the command in `arguments` that do what `remedies` advise.
std::string with_options(std::string text, std::span<const Remedy> remedies, const Arguments& arguments);
/// An error's hint for whoever gave `arguments`.
std::string hint_of(const Error& error, const Arguments& arguments);
/// The lines of an error among several: its message, and indented its details and its hint.
std::vector<std::string> lines_of(const Error& error, const Arguments& arguments);

}  // namespace kernels::app
