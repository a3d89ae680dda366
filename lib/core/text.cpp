#include "kernels/core/text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <numeric>

namespace kernels {

namespace {

// The length of the UTF-8 character at the start of the text; 0 for a control character or none at all.
std::size_t harmless_character(std::string_view text) {
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = at(0);
    if (first < 0x80) return first < 0x20 || first == 0x7f ? 0 : 1;
    const std::size_t length = first >= 0xf5   ? 0
                               : first >= 0xf0 ? 4
                               : first >= 0xe0 ? 3
                               : first >= 0xc2 ? 2
                                               : 0;
    if (length == 0 || text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((at(i) & 0xc0U) != 0x80) return 0;
    }
    const bool is_control = first == 0xc2 && at(1) < 0xa0;
    const bool is_overlong = (first == 0xe0 && at(1) < 0xa0) || (first == 0xf0 && at(1) < 0x90);
    const bool is_no_character = (first == 0xed && at(1) >= 0xa0) || (first == 0xf4 && at(1) >= 0x90);
    return is_control || is_overlong || is_no_character ? 0 : length;
}

}  // namespace

std::string printable(std::string_view text, std::string_view kept) {
    std::string out;
    while (!text.empty()) {
        std::size_t length = kept.find(text.front()) != std::string_view::npos ? 1 : harmless_character(text);
        if (length > 0) {
            out += text.substr(0, length);
        } else {
            std::array<char, 8> escape{};
            std::snprintf(escape.data(), escape.size(), "\\x%02x", static_cast<unsigned char>(text.front()));
            out += escape.data();
            length = 1;
        }
        text.remove_prefix(length);
    }
    return out;
}

std::string backquoted(std::string_view text) {
    std::size_t longest = 120;
    // Between two characters, not in the middle of one.
    while (text.size() > longest && longest > 116 &&
           (static_cast<unsigned char>(text[longest]) & 0xc0U) == 0x80)
        --longest;
    return "`" + printable(text.substr(0, longest)) + (text.size() > longest ? "…`" : "`");
}

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    for (;;) {
        const auto at = text.find(separator);
        parts.push_back(text.substr(0, at));
        if (at == std::string_view::npos) return parts;
        text.remove_prefix(at + 1);
    }
}

std::string join(std::span<const std::string> parts, std::string_view separator) {
    std::string out;
    for (const auto& part : parts) {
        if (&part != parts.data()) out += separator;
        out += part;
    }
    return out;
}

std::string_view trimmed(std::string_view text) noexcept {
    constexpr std::string_view space = " \t\r\n\f\v";
    const auto first = text.find_first_not_of(space);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(space) - first + 1);
}

std::string first_line(std::string_view text) {
    return std::string(trimmed(split(trimmed(text), '\n').front()));
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return out;
}

bool glob_match(std::string_view pattern, std::string_view text) noexcept {
    std::size_t p = 0;
    std::size_t t = 0;
    std::size_t star = std::string_view::npos;
    std::size_t resume = 0;
    while (t < text.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            resume = t;
        } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
            ++p;
            ++t;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*')
        ++p;
    return p == pattern.size();
}

namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t substitution = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitution});
        }
    }
    return row.back();
}

}  // namespace

std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates) {
    constexpr std::size_t longest = 200;
    if (word.size() > longest) return std::nullopt;
    const std::string wanted = lower(word);
    const std::string* best = nullptr;
    const std::size_t allowed =
        word.size() < 4 ? 1 : std::max<std::size_t>(2, word.size() / 3);  // 2: swapped letters
    std::size_t best_distance = allowed + 1;
    for (const auto& candidate : candidates) {
        if (candidate.size() > longest) continue;
        const std::size_t distance = edit_distance(wanted, lower(candidate));
        if (distance < best_distance) {
            best = &candidate;
            best_distance = distance;
        }
    }
    if (best == nullptr) return std::nullopt;
    return *best;
}

std::string did_you_mean(std::string_view word, std::span<const std::string> candidates) {
    const auto candidate = nearest(word, candidates);
    return candidate ? "did you mean `" + *candidate + "`?" : std::string();
}

std::string counted(std::size_t number, std::string_view noun) {
    return std::to_string(number) + " " + std::string(noun) + (number == 1 ? "" : "s");
}

std::string instead_of(std::string_view word, std::string_view label,
                       std::span<const std::string> candidates) {
    const auto question = did_you_mean(word, candidates);
    return question + (question.empty() ? "" : " ") + std::string(label) + ": " + join(candidates, ", ");
}

std::string human_size(unsigned long long bytes) {
    constexpr std::array units = {"B", "KiB", "MiB", "GiB", "TiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < units.size()) {
        value /= 1024;
        ++unit;
    }
    std::array<char, 32> out{};
    std::snprintf(out.data(), out.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, units.at(unit));
    return out.data();
}

}  // namespace kernels
