// Which versions torch, the backends and systems can have: what is outside has lost its dot, or is a slip.
#pragma once

#include <optional>
#include <string_view>

#include "kernels/core/version.hpp"

namespace kernels::build {

struct VersionRange {
    std::string_view name;     ///< as the key of a target is called
    std::string_view example;  ///< "12.8"
    Version first;
    Version last;
    int last_minor;
    int major_digits;  ///< before the dot that build names leave out: 213 is 2.13; 0: all but the last digit

    bool holds(Version version) const noexcept;
    /// What was meant by a version outside: 12.8 by 128 or 1.28. Nothing when no dot makes it one.
    std::optional<Version> meant_by(Version version) const;
};

/// By its name: torch, cuda, rocm, xpu, cann, macos or tvm-ffi. Nothing for others.
const VersionRange* version_range(std::string_view name) noexcept;

}  // namespace kernels::build
