#include "build/version_range.hpp"

#include <algorithm>
#include <array>
#include <string>

namespace kernels::build {

namespace {

// With room for years of newer ones; the oldest are those that kernels were ever built for.
constexpr std::array<VersionRange, 7> ranges{{{"torch", "2.13", {1, 0}, {9, 99}, 99, 1},
                                              {"cuda", "12.8", {8, 0}, {29, 9}, 9, 0},
                                              {"rocm", "6.4", {3, 0}, {29, 99}, 99, 0},
                                              {"xpu", "2025.2", {2020, 0}, {2099, 9}, 9, 4},
                                              {"cann", "8.3", {3, 0}, {29, 99}, 99, 0},
                                              {"macos", "26.0", {10, 0}, {59, 99}, 99, 2},
                                              {"tvm-ffi", "0.1", {0, 1}, {9, 99}, 99, 1}}};

}  // namespace

bool VersionRange::holds(Version version) const noexcept {
    return version >= first && version <= last && version.minor <= last_minor;
}

std::optional<Version> VersionRange::meant_by(Version version) const {
    std::string digits = std::to_string(version.major);
    if (version.minor != 0) digits += std::to_string(version.minor);
    const auto before =
        major_digits == 0 ? digits.size() - 1 : static_cast<std::size_t>(std::max(major_digits, 0));
    if (before == 0 || before >= digits.size() || digits.size() > 6) return std::nullopt;
    const Version meant{std::stoi(digits.substr(0, before)), std::stoi(digits.substr(before))};
    return holds(meant) ? std::optional(meant) : std::nullopt;
}

const VersionRange* version_range(std::string_view name) noexcept {
    const auto* const found = std::find_if(ranges.begin(), ranges.end(),
                                           [&](const VersionRange& range) { return range.name == name; });
    return found == ranges.end() ? nullptr : found;
}

}  // namespace kernels::build
