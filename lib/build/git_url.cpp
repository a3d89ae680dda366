#include "git_url.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <vector>

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels::build {
namespace {

constexpr std::array<std::string_view, 7> git_schemes = {"https",   "http",      "git",     "ssh",
                                                         "git+ssh", "git+https", "git+http"};

bool is_alpha(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// The standard's percent-encode sets: control bytes and bytes beyond ASCII always, and those of `more`.
std::string encoded(std::string_view text, std::string_view more) {
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte > 0x1f && byte < 0x7f && more.find(c) == std::string_view::npos) {
            out += c;
            continue;
        }
        std::array<char, 4> hex{};
        std::snprintf(hex.data(), hex.size(), "%%%02X", byte);
        out += hex.data();
    }
    return out;
}

std::string percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        unsigned char byte = 0;
        const char* const begin = text.data() + i + 1;
        if (text[i] == '%' && i + 2 < text.size() &&
            std::from_chars(begin, begin + 2, byte, 16).ptr == begin + 2) {
            out += static_cast<char>(byte);
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

std::optional<std::uint64_t> ipv4_number(std::string_view part) {
    int base = 10;
    if (part.starts_with("0x") || part.starts_with("0X")) {
        part.remove_prefix(2);
        base = 16;
    } else if (part.size() > 1 && part.front() == '0') {
        part.remove_prefix(1);
        base = 8;
    } else if (part.empty()) {
        return std::nullopt;
    }
    if (part.empty()) return 0;
    std::uint64_t value = 0;
    const auto [end, status] = std::from_chars(part.data(), part.data() + part.size(), value, base);
    if (end != part.data() + part.size()) return std::nullopt;
    return status == std::errc() ? value : UINT64_MAX;
}

// A host whose last part is a number is an IPv4 address, and a wrong one is no host. Nothing for other hosts.
std::optional<std::optional<std::string>> ipv4_address(std::string_view host) {
    auto parts = split(host, '.');
    if (parts.size() > 1 && parts.back().empty()) parts.pop_back();
    const std::string_view last = parts.back();
    const bool digits = !last.empty() && std::all_of(last.begin(), last.end(), is_digit);
    if (!digits && !(last.starts_with("0x") && ipv4_number(last))) return std::nullopt;
    constexpr std::size_t most_parts = 4;
    if (parts.size() > most_parts) return std::optional<std::string>();
    std::uint64_t address = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const auto number = ipv4_number(parts[i]);
        const bool is_last = i + 1 == parts.size();
        const std::uint64_t limit = is_last ? std::uint64_t{1} << (8 * (most_parts + 1 - parts.size())) : 256;
        if (!number || *number >= limit) return std::optional<std::string>();
        address += is_last ? *number : *number << (8 * (most_parts - 1 - i));
    }
    std::string text;
    for (int shift = 24; shift >= 0; shift -= 8)
        text += std::to_string((address >> static_cast<unsigned>(shift)) & 0xffU) + (shift > 0 ? "." : "");
    return std::optional(text);
}

// `[…]` with its longest run of zeros shortened.
std::optional<std::string> ipv6_address(std::string_view host) {
    if (!host.ends_with(']')) return std::nullopt;
    in6_addr address{};
    const std::string inner(host.substr(1, host.size() - 2));
    if (::inet_pton(AF_INET6, inner.c_str(), &address) != 1) return std::nullopt;
    std::array<unsigned, 8> pieces{};
    for (std::size_t i = 0; i < pieces.size(); ++i)
        pieces[i] = static_cast<unsigned>(address.s6_addr[2 * i] << 8U) | address.s6_addr[2 * i + 1];
    std::size_t run = 0;
    std::size_t length = 1;  // a single zero is written out
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        std::size_t end = i;
        while (end < pieces.size() && pieces[end] == 0)
            ++end;
        if (end - i > length) {
            run = i;
            length = end - i;
        }
    }
    std::string text = "[";
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        if (length > 1 && i == run) {
            text += i == 0 ? "::" : ":";
            i += length - 1;
            continue;
        }
        std::array<char, 8> hex{};
        std::snprintf(hex.data(), hex.size(), "%x", pieces[i]);
        text += hex.data();
        if (i + 1 < pieces.size()) text += ":";
    }
    return text + "]";
}

std::optional<std::string> normalized_host(std::string_view host, bool special) {
    if (host.starts_with('[')) return ipv6_address(host);
    constexpr std::string_view never("\0\t\n\r #/:<>?@[\\]^|", 17);
    if (!special) {
        if (host.find_first_of(never) != std::string_view::npos) return std::nullopt;
        return encoded(host, "");
    }
    const std::string name = lower(percent_decoded(host));
    const bool refused = name.empty() || name.find_first_of(never) != std::string::npos ||
                         std::any_of(name.begin(), name.end(), [](char c) {
                             const auto byte = static_cast<unsigned char>(c);
                             return byte < 0x20 || byte == 0x7f || c == '%';
                         });
    if (refused) return std::nullopt;
    if (const auto address = ipv4_address(name)) return *address;
    return name;
}

// user, password, host and port: what stands between `//` and the path.
std::optional<std::string> normalized_authority(std::string_view text, std::string_view scheme,
                                                bool special) {
    constexpr std::string_view userinfo_set = " \"#<>?`{}/:;=@[\\]^|";
    std::string out;
    const auto at = text.rfind('@');
    if (at != std::string_view::npos) {
        const auto user = text.substr(0, at);
        const auto colon = user.find(':');
        const auto password = colon == std::string_view::npos ? std::string_view() : user.substr(colon + 1);
        out = encoded(user.substr(0, colon), userinfo_set);
        if (!password.empty()) out += ":" + encoded(password, userinfo_set);
        if (!out.empty()) out += "@";
        text.remove_prefix(at + 1);
    }
    const auto bracket = text.starts_with('[') ? text.find(']') : 0;
    const auto colon = text.find(':', bracket == std::string_view::npos ? 0 : bracket);
    const auto name = text.substr(0, colon);
    const auto port = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
    const bool may_be_empty = !special && at == std::string_view::npos && colon == std::string_view::npos;
    if (name.empty()) return may_be_empty ? std::optional<std::string>("") : std::nullopt;
    const auto host = normalized_host(name, special);
    if (!host) return std::nullopt;
    out += *host;
    if (port.empty()) return out;
    unsigned number = 0;
    const auto [end, status] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (end != port.data() + port.size() || status != std::errc() || number > 65535) return std::nullopt;
    const bool is_default = (scheme == "https" && number == 443) || (scheme == "http" && number == 80);
    return is_default ? out : out + ":" + std::to_string(number);
}

// Resolves `.` and `..`; the text begins with a slash, or is empty.
std::string normalized_path(std::string_view text, bool special) {
    constexpr std::string_view path_set = " \"#<>?`{}";
    if (text.empty()) return special ? "/" : "";
    std::vector<std::string> segments;
    text.remove_prefix(1);
    for (bool more = true; more;) {
        const auto slash = text.find_first_of(special ? "/\\" : "/");
        more = slash != std::string_view::npos;
        std::string segment = encoded(text.substr(0, slash), path_set);
        text.remove_prefix(more ? slash + 1 : text.size());
        std::string dots = lower(segment);
        for (auto code = dots.find("%2e"); code != std::string::npos; code = dots.find("%2e"))
            dots.replace(code, 3, ".");
        if (dots == "." || dots == "..") {
            if (dots == ".." && !segments.empty()) segments.pop_back();
            if (!more) segments.emplace_back();
        } else {
            segments.push_back(std::move(segment));
        }
    }
    return "/" + join(segments, "/");
}

// Nothing when it is no URL.
std::optional<std::string> normalized_url(std::string_view given) {
    const auto is_blank = [](char c) { return static_cast<unsigned char>(c) <= 0x20; };
    while (!given.empty() && is_blank(given.front()))
        given.remove_prefix(1);
    while (!given.empty() && is_blank(given.back()))
        given.remove_suffix(1);
    std::string text(given);
    std::erase_if(text, [](char c) { return c == '\t' || c == '\n' || c == '\r'; });

    const auto colon = text.find(':');
    if (colon == std::string::npos || !is_alpha(text.front())) return std::nullopt;
    const std::string scheme = lower(text.substr(0, colon));
    const bool is_scheme = std::all_of(scheme.begin(), scheme.end(), [](char c) {
        return is_alpha(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
    });
    if (!is_scheme) return std::nullopt;
    const bool special = scheme == "https" || scheme == "http";
    std::string_view rest = std::string_view(text).substr(colon + 1);

    std::string fragment;
    if (const auto hash = rest.find('#'); hash != std::string_view::npos) {
        fragment = "#" + encoded(rest.substr(hash + 1), " \"<>`");
        rest = rest.substr(0, hash);
    }
    std::string query;
    if (const auto mark = rest.find('?'); mark != std::string_view::npos) {
        query = "?" + encoded(rest.substr(mark + 1), special ? " \"#<>'" : " \"#<>");
        rest = rest.substr(0, mark);
    }
    std::string out = scheme + ":";
    if (!special && !rest.starts_with('/')) return out + encoded(rest, "") + query + fragment;
    if (special || rest.starts_with("//")) {
        const std::string_view slashes = special ? "/\\" : "/";
        if (special) {
            rest.remove_prefix(std::min(rest.find_first_not_of(slashes), rest.size()));
        } else {
            rest.remove_prefix(2);
        }
        const auto end = std::min(rest.find_first_of(slashes), rest.size());
        const auto authority = normalized_authority(rest.substr(0, end), scheme, special);
        if (!authority) return std::nullopt;
        return out + "//" + *authority + normalized_path(rest.substr(end), special) + query + fragment;
    }
    const std::string path = normalized_path(rest, special);
    return out + (path.starts_with("//") ? "/." : "") + path + query + fragment;
}

// `user@host:path`, the form that scp takes.
std::optional<std::string> normalized_scp(std::string_view text) {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos || colon == 0) return std::nullopt;
    const auto path = text.substr(colon + 1);
    if (path.empty() || path.front() == '/') return std::nullopt;
    return normalized_url("ssh://" + std::string(text.substr(0, colon)) + "/" + std::string(path));
}

}  // namespace

std::string normalized_git_url(std::string_view text) {
    auto url = normalized_url(text);
    if (!url) url = normalized_scp(text);
    if (!url) throw Error(ErrorCode::verification, backquoted(text) + " is no URL of a git repository");
    const std::string scheme = url->substr(0, url->find(':'));
    if (std::find(git_schemes.begin(), git_schemes.end(), scheme) == git_schemes.end()) {
        throw Error(ErrorCode::verification,
                    backquoted(text) + " has the scheme " + backquoted(scheme) + ", which is none of git (" +
                        join(std::vector<std::string>(git_schemes.begin(), git_schemes.end()), ", ") + ")");
    }
    return *url;
}

}  // namespace kernels::build
