#include "faults.hpp"

#include <array>
#include <charconv>

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels::hub_server {
namespace {

struct Kind {
    std::string_view name;
    FaultKind kind;
    bool body_only;  // changes nothing that a HEAD request could see
    std::string_view what;
};

constexpr std::array kinds = {
    Kind{"cut", FaultKind::cut, true, "connection closed after VALUE bytes of the body (default: half)"},
    Kind{"truncated", FaultKind::truncated, true, "body and announced length VALUE bytes too short (1)"},
    Kind{"padded", FaultKind::padded, true, "body and announced length VALUE bytes too long (1)"},
    Kind{"overrun", FaultKind::overrun, true, "VALUE bytes more than announced (1)"},
    Kind{"flip", FaultKind::flip, true, "the byte at VALUE flipped (default: the middle one)"},
    Kind{"status", FaultKind::status, false, "answered with status VALUE (503)"},
    Kind{"retry-after", FaultKind::retry_after, false, "429 with `Retry-After: VALUE` (1)"},
    Kind{"retry-after-date", FaultKind::retry_after_date, false,
         "429 with a date VALUE seconds (1) behind the clock of a server in 2001"},
    Kind{"stall", FaultKind::stall, false, "nothing for VALUE seconds (60), then the answer"},
    Kind{"slow", FaultKind::slow, true, "VALUE bytes a second (65536)"},
    Kind{"redirect-loop", FaultKind::redirect_loop, false, "redirected to itself"},
    Kind{"redirect-away", FaultKind::redirect_away, false, "redirected to the other name of this machine"},
    Kind{"malformed", FaultKind::malformed, true, "half of the JSON document"},
    Kind{"ignore-range", FaultKind::ignore_range, false, "the whole file, whatever range was asked for"},
    Kind{"tree-dotdot", FaultKind::tree_dotdot, true, "listing with `../outside.txt`"},
    Kind{"tree-absolute", FaultKind::tree_absolute, true, "listing with `/tmp/outside.txt`"},
    Kind{"tree-nul", FaultKind::tree_nul, true, "listing with a NUL in a name"},
    Kind{"tree-long", FaultKind::tree_long, true, "listing with a name of 5,000 characters"},
    Kind{"tree-symlink", FaultKind::tree_symlink, true, "listing with an entry of type symlink"},
};

const Kind* find_kind(FaultKind wanted) {
    for (const auto& kind : kinds) {
        if (kind.kind == wanted) return &kind;
    }
    return nullptr;
}

template <typename Number>
Number number(std::string_view text, std::string_view whole) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || text.empty()) {
        throw Error(ErrorCode::usage,
                    "--fault " + backquoted(whole) + ": " + backquoted(text) + " is no whole number");
    }
    return value;
}

}  // namespace

Fault Fault::parse(std::string_view text) {
    const auto parts = split(text, ':');
    if (parts.size() < 2 || parts.size() > 3 || parts[1].empty()) {
        throw Error(ErrorCode::usage,
                    "--fault " + backquoted(text) + ": not of the form KIND[=VALUE]:GLOB[:COUNT]");
    }
    Fault fault;
    const auto equals = parts[0].find('=');
    const std::string_view name = parts[0].substr(0, equals);
    std::vector<std::string> names;
    const Kind* found = nullptr;
    for (const auto& kind : kinds) {
        names.emplace_back(kind.name);
        if (kind.name == name) found = &kind;
    }
    if (found == nullptr) {
        throw Error(ErrorCode::usage, "--fault " + backquoted(text) + ": unknown kind " + backquoted(name),
                    did_you_mean(name, names));
    }
    fault.kind = found->kind;
    if (equals != std::string_view::npos)
        fault.value = number<std::uint64_t>(parts[0].substr(equals + 1), text);
    fault.glob = parts[1];
    if (parts.size() == 3) fault.left = number<std::uint32_t>(parts[2], text);
    return fault;
}

std::string describe_faults() {
    std::string text;
    for (const auto& kind : kinds) {
        text += "  " + std::string(kind.name) + std::string(18 - kind.name.size(), ' ') +
                std::string(kind.what) + "\n";
    }
    return text;
}

std::optional<Fault> Faults::take(const std::string& path, bool head) {
    const std::lock_guard guard(m_mutex);
    for (auto& fault : m_faults) {
        if (fault.left == 0 || !glob_match(fault.glob, path)) continue;
        if (head && find_kind(fault.kind)->body_only) continue;
        if (fault.left > 0) --fault.left;
        return fault;
    }
    return std::nullopt;
}

}  // namespace kernels::hub_server
