// JSON that others wrote.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "kernels/core/error.hpp"

namespace kernels {

constexpr int deepest_json = 64;  // no document of ours or of the Hub has ten levels

/// Whether arrays and objects of `text`, well-formed or not, are nested more than `deepest_json` levels.
bool is_nested_too_deeply(std::string_view text) noexcept;

/// Parses `text`. Throws what Json::parse does, and Error(code) beginning with `origin` for a document so
/// deep that printing it (as messages do with a wrong value) would use up the stack.
template <typename Json = nlohmann::json>
Json parse_json(std::string_view text, ErrorCode code, const std::string& origin) {
    if (is_nested_too_deeply(text)) {
        throw Error(
            code, origin + ": its JSON is nested more than " + std::to_string(deepest_json) + " levels deep");
    }
    return Json::parse(text);
}

}  // namespace kernels
