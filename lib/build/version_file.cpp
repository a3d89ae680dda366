#include "build/version_file.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

#include "build/version_range.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"

namespace kernels::build {
namespace {

constexpr std::uintmax_t greatest_file = std::uintmax_t{1} << 20U;  // torch's own is smaller than a kilobyte

// "12.8" and what begins so, as 6.4.43482-0f2d60242 does.
std::optional<Version> dotted(std::string_view text) {
    const auto is_digit = [&](std::size_t at) {
        return at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0;
    };
    const auto dot = text.find('.');
    if (!is_digit(0) || dot == std::string_view::npos || !is_digit(dot - 1) || !is_digit(dot + 1))
        return std::nullopt;
    try {
        return Version::parse(text);
    } catch (const Error&) {
        return std::nullopt;
    }
}

}  // namespace

Error VersionFile::damaged(const std::filesystem::path& file, const std::string& why) {
    return Error(ErrorCode::failed, file.string() + ": " + why,
                 "this torch is damaged; install it again, or name another one")
        .with_remedies({Remedy::torch});
}

VersionFile::VersionFile(std::filesystem::path file) : m_file(std::move(file)) {
    try {
        m_text = read_file(m_file, greatest_file);
    } catch (const Error& error) {
        throw damaged(m_file, "").reworded(error.what());
    }
}

// What stands behind `name =` or `name: Optional[str] =` at the start of a line.
std::optional<std::string_view> VersionFile::assigned(std::string_view name) const {
    for (auto line : split(m_text, '\n')) {
        if (!line.starts_with(name)) continue;
        line = trimmed(line.substr(name.size()));
        const auto equals = line.find('=');
        if (equals == std::string_view::npos || (equals != 0 && line.front() != ':')) continue;
        return trimmed(line.substr(equals + 1));
    }
    return std::nullopt;
}

// The text that a name is given; nothing for None.
std::optional<std::string> VersionFile::text_of(std::string_view name) const {
    const auto value = assigned(name);
    if (!value) throw damaged(m_file, "it does not say its " + std::string(name));
    if (*value == "None") return std::nullopt;
    const char quote = value->empty() ? '\0' : value->front();
    const auto end = quote == '\'' || quote == '"' ? value->find(quote, 1) : std::string_view::npos;
    if (end == std::string_view::npos)
        throw damaged(m_file, "its " + std::string(name) + " is no text: " + backquoted(*value));
    return std::string(value->substr(1, end - 1));
}

std::optional<Version> VersionFile::version_of(std::string_view name) const {
    const auto text = text_of(name);
    if (!text) return std::nullopt;
    const auto version = dotted(*text);
    const auto* const range = version_range(name == "hip" ? "rocm" : name);
    if (!version || (range != nullptr && !range->holds(*version)))
        throw damaged(m_file, "its " + std::string(name) + " is no version: " + backquoted(*text));
    return version;
}

std::string VersionFile::version() const {
    constexpr const char* name = "__version__";
    if (!version_of(name)) throw damaged(m_file, "its __version__ is None");
    return *text_of(name);
}

std::optional<Backend> VersionFile::backend() const {
    if (const auto cuda = version_of("cuda")) return Backend{BackendKind::cuda, *cuda};
    if (const auto hip = version_of("hip")) return Backend{BackendKind::rocm, *hip};
    if (!assigned("xpu")) return std::nullopt;  // older torches knew none
    const auto xpu = text_of("xpu");
    if (!xpu) return std::nullopt;
    // "20250200" is 2025.2, by the Python client's rule.
    const bool is_number = xpu->size() >= 6 && std::all_of(xpu->begin(), xpu->end(), [](unsigned char c) {
                               return std::isdigit(c) != 0;
                           });
    if (!is_number || xpu->size() > 12) throw damaged(m_file, "its xpu is no version: " + backquoted(*xpu));
    return Backend{BackendKind::xpu, Version::parse(xpu->substr(0, 4) + "." + xpu->substr(5, 1))};
}

}  // namespace kernels::build
