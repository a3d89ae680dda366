#include "next_page.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <string_view>

#include "kernels/core/text.hpp"

namespace kernels::hub {
namespace {

// Takes what stands before the first of `ends` that is not quoted; the rest stays in `text`.
std::string_view take_until(std::string_view& text, std::string_view ends) {
    bool quoted = false;
    std::size_t end = 0;
    for (; end < text.size() && (quoted || ends.find(text[end]) == std::string_view::npos); ++end) {
        if (text[end] == '"') quoted = !quoted;
        if (text[end] == '\\' && quoted) ++end;
    }
    const auto part = text.substr(0, end);
    text.remove_prefix(std::min(end, text.size()));
    return part;
}

// Whether `rel=…` names the relation `next`, which may be one of several.
bool is_next(std::string_view parameter) {
    const auto equals = parameter.find('=');
    if (equals == std::string_view::npos || lower(trimmed(parameter.substr(0, equals))) != "rel")
        return false;
    auto value = trimmed(parameter.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
        value = value.substr(1, value.size() - 2);
    const std::string relations = lower(value);
    for (const auto relation : split(relations, ' ')) {
        if (relation == "next") return true;
    }
    return false;
}

}  // namespace

std::string absolute_location(const std::string& base, const std::string& location) {
    std::string resolved = location;
    CURLU* url = curl_url();
    char* text = nullptr;
    if (url != nullptr && curl_url_set(url, CURLUPART_URL, base.c_str(), 0) == CURLUE_OK &&
        curl_url_set(url, CURLUPART_URL, location.c_str(), 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK) {
        resolved = text;
        curl_free(text);
    }
    curl_url_cleanup(url);
    return resolved;
}

std::optional<std::string> next_page(const Response& response) {
    const auto header = response.header("link");
    std::string_view rest = header ? std::string_view(*header) : std::string_view();
    // <https://…>; rel="next"; title="…", <…>; …
    while (!rest.empty()) {
        const auto open = rest.find('<');
        if (open == std::string_view::npos) return std::nullopt;
        rest.remove_prefix(open + 1);
        const auto close = rest.find('>');
        if (close == std::string_view::npos) return std::nullopt;
        const std::string target(trimmed(rest.substr(0, close)));
        rest.remove_prefix(close + 1);
        std::string_view parameters = take_until(rest, ",");
        while (!parameters.empty()) {
            if (is_next(take_until(parameters, ";"))) return absolute_location(response.url, target);
            if (!parameters.empty()) parameters.remove_prefix(1);
        }
    }
    return std::nullopt;
}

}  // namespace kernels::hub
