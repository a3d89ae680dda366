#include <array>
#include <cstdio>

#include "kernels/core/text.hpp"
#include "kernels/hub/http.hpp"

namespace kernels::hub {

std::string url_quoted(std::string_view text, bool keep_slash) {
    constexpr std::string_view unreserved =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    std::string out;
    for (const char c : text) {
        if (unreserved.find(c) != std::string_view::npos || (keep_slash && c == '/')) {
            out += c;
        } else {
            std::array<char, 4> escape{};
            std::snprintf(escape.data(), escape.size(), "%%%02X", static_cast<unsigned char>(c));
            out += escape.data();
        }
    }
    return out;
}

std::string printable_url(std::string_view url) {
    url = url.substr(0, url.find_first_of("?#"));
    // A proxy may be named without a scheme.
    const auto scheme_end = url.find("://");
    const auto host = scheme_end == std::string_view::npos ? 0 : scheme_end + 3;
    const auto path = url.find('/', host);
    const auto at = url.substr(0, path).rfind('@');
    if (at == std::string_view::npos || at < host) return std::string(url);
    return std::string(url.substr(0, host)) + std::string(url.substr(at + 1));
}

std::string url_origin(std::string_view url) {
    const std::string shown = printable_url(url);
    const auto scheme_end = shown.find("://");
    if (scheme_end == std::string::npos) return lower(shown);
    const auto path = shown.find('/', scheme_end + 3);
    std::string origin = lower(std::string_view(shown).substr(0, path));
    const auto host = scheme_end + 3;
    const auto port =
        origin.find(':', origin.find(']', host) == std::string::npos ? host : origin.find(']', host));
    if (port == std::string::npos) origin += origin.starts_with("https:") ? ":443" : ":80";
    return origin;
}

}  // namespace kernels::hub
