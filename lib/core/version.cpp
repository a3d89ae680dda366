#include "kernels/core/version.hpp"

#include <charconv>

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels {

Version Version::parse(std::string_view text) {
    Version version;
    const char* const end = text.data() + text.size();
    auto [next, status] = std::from_chars(text.data(), end, version.major);
    if (status != std::errc() || version.major < 0) {
        throw Error(ErrorCode::usage, backquoted(text) + ": not a version",
                    "write it as major.minor, for example 2.13");
    }
    if (next != end && *next == '.') {
        const auto minor = std::from_chars(next + 1, end, version.minor);
        if (minor.ec != std::errc() || version.minor < 0) {
            throw Error(ErrorCode::usage, backquoted(text) + ": not a version",
                        "write it as major.minor, for example 2.13");
        }
    }
    return version;
}

}  // namespace kernels
