// Dotted version numbers of frameworks and backends.
#pragma once

#include <compare>
#include <string>
#include <string_view>

namespace kernels {

/// A major.minor version, as build variants use them (torch 2.13, CUDA 12.8, XPU 2025.2).
struct Version {
    int major = 0;
    int minor = 0;

    /// Reads the first two numbers of a dotted version; what follows (patch, "+cu128", "a0") is dropped.
    /// A lone "13" is 13.0. Throws Error(usage) when `text` does not start with a number.
    static Version parse(std::string_view text);
    std::string to_string() const { return std::to_string(major) + "." + std::to_string(minor); }

    friend auto operator<=>(const Version&, const Version&) = default;
};

}  // namespace kernels
