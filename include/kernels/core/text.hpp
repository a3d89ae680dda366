// Small operations on text that several modules share.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kernels {

/// `text` as a terminal may get it: control characters but `kept` ones, and bytes that are no UTF-8, are
/// escaped as `\x1b`.
std::string printable(std::string_view text, std::string_view kept = {});

/// `text` between backquotes for a message, printable, cut after 120 characters.
std::string backquoted(std::string_view text);

/// The parts of `text` between occurrences of `separator`; an empty text has one empty part.
std::vector<std::string_view> split(std::string_view text, char separator);

/// `parts` with `separator` between them.
std::string join(std::span<const std::string> parts, std::string_view separator);

/// `text` without white space at its ends.
std::string_view trimmed(std::string_view text) noexcept;

/// The first line of `text` that is not blank, without white space at its ends; empty when there is none.
std::string first_line(std::string_view text);

/// ASCII lower case.
std::string lower(std::string_view text);

/// Whether `text` matches the whole of `pattern`, where `*` is any run of characters and `?` is one
/// character. Linear in memory, never exponential in time.
bool glob_match(std::string_view pattern, std::string_view text) noexcept;

/// The candidate nearest to `word` by edit distance, if one is near enough to be what a user meant.
std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates);

/// "did you mean `x`?", or an empty text when nothing is near.
std::string did_you_mean(std::string_view word, std::span<const std::string> candidates);

/// What there is instead of `word`, for a hint: "did you mean `cuda`? devices: cpu, cuda", where the question
/// is left out when nothing is near.
std::string instead_of(std::string_view word, std::string_view label,
                       std::span<const std::string> candidates);

/// "1 file", "2 files".
std::string counted(std::size_t number, std::string_view noun);

/// "1.5 MiB".
std::string human_size(unsigned long long bytes);

}  // namespace kernels
