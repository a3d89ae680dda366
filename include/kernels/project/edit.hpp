// Changing the dependencies in a project file's text. Everything else stays as it was written: comments,
// order, quoting, line ends.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "kernels/core/reference.hpp"

namespace kernels::project {

/// The text with the dependency in it: a new line behind the last one, or a new value where the repository
/// has one already. A file without the table gets one at its end; `file` decides between the forms of
/// pyproject.toml and kernels.toml by its name.
///
/// Throws Error(project_file) when the text is no TOML, or is written in a way that this cannot change (an
/// inline table that holds the dependencies' parents, say); the hint is then what to write by hand.
std::string with_dependency(std::string_view text, const std::filesystem::path& file,
                            const Dependency& dependency);

/// The text without the repository's entry; a comment on its line goes too. The table stays, be it empty.
/// Throws Error(not_found) when there is none, and as with_dependency.
std::string without_dependency(std::string_view text, const std::filesystem::path& file, const RepoId& repo);

}  // namespace kernels::project
