#include "kernels/core/reference.hpp"

#include <algorithm>
#include <charconv>

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "python_number.hpp"

namespace kernels {
namespace {

bool is_name_part(std::string_view part) {
    constexpr std::size_t longest = 96;  // the Hub's own limit for org/name together
    if (part.empty() || part.size() > longest) return false;
    if (part.front() == '-' || part.front() == '.' || part.back() == '-' || part.back() == '.') return false;
    if (part.find("..") != std::string_view::npos || part.find("--") != std::string_view::npos) return false;
    return std::all_of(part.begin(), part.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '_' || c == '.';
    });
}

bool is_ref_name(std::string_view name) {
    constexpr std::size_t longest = 250;
    constexpr std::string_view refused = "~^:?*[\\";
    const auto holds = [&](std::string_view text) { return name.find(text) != std::string_view::npos; };
    if (name.size() > longest || name == "@" || name.ends_with('.') || holds("..") || holds("@{"))
        return false;
    const auto parts = split(name, '/');
    return std::none_of(parts.begin(), parts.end(),
                        [](std::string_view part) {
                            return part.empty() || part.front() == '.' || part.ends_with(".lock");
                        }) &&
           std::all_of(name.begin(), name.end(), [&](char c) {
               return static_cast<unsigned char>(c) > 0x20 && c != 0x7f &&
                      refused.find(c) == std::string_view::npos;
           });
}

}  // namespace

RepoId RepoId::parse(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos || !is_name_part(text.substr(0, slash)) ||
        !is_name_part(text.substr(slash + 1))) {
        throw Error(ErrorCode::usage, backquoted(text) + ": not a kernel repository",
                    "write it as org/name, for example kernels-community/activation");
    }
    return {std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
}

bool Commit::is_commit(std::string_view text) noexcept {
    return (text.size() == 40 || text.size() == 64) && std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
           });
}

Commit Commit::parse(std::string_view text) {
    if (!is_commit(text)) {
        throw Error(ErrorCode::failed,
                    backquoted(text) + ": not a commit (40 or 64 lower-case hexadecimal digits)");
    }
    return Commit(std::string(text));
}

Revision::Revision(std::string name) : m_name(std::move(name)) {
    if (!is_ref_name(m_name))
        throw Error(ErrorCode::usage, backquoted(m_name) + ": no branch, tag or commit");
}

std::optional<KernelVersion> KernelVersion::of_branch(std::string_view name) {
    if (!name.starts_with('v')) return std::nullopt;
    const auto digits = python_integer(name.substr(1));
    if (!digits || digits->starts_with('-')) return std::nullopt;
    KernelVersion version;
    const auto parsed = std::from_chars(digits->data(), digits->data() + digits->size(), version.number);
    return parsed.ec == std::errc() ? std::optional(version) : std::nullopt;
}

Reference::Reference(KernelVersion version) : m_value(version) {
    if (version.number >= 0) return;
    throw Error(ErrorCode::usage, std::to_string(version.number) + ": no kernel version",
                "versions begin with 0; KernelVersion{1} is the branch v1");
}

Reference Reference::parse(std::string_view text) {
    std::string_view digits = text;
    if (!digits.empty() && digits.front() == 'v') digits.remove_prefix(1);
    KernelVersion version;
    const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), version.number);
    const bool whole = end == digits.data() + digits.size() && !digits.empty() && digits.front() != '-';
    // A full commit may consist of digits only; it never fits 64 bits.
    if (whole && status == std::errc()) return version;
    return Revision(std::string(text));
}

std::string Reference::to_string() const {
    return version() != nullptr ? version()->branch() : revision()->name();
}

std::string Reference::describe() const {
    return version() != nullptr ? "version " + std::to_string(version()->number)
                                : "revision " + revision()->name();
}

}  // namespace kernels
