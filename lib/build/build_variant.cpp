#include "kernels/build/build_variant.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels::build {
namespace {

struct BackendName {
    BackendKind kind;
    std::string_view name;    // in messages and noarch builds
    std::string_view prefix;  // in arch builds
    bool versioned;
};

constexpr std::array backend_names = {
    BackendName{BackendKind::cpu, "cpu", "cpu", false},
    BackendName{BackendKind::metal, "metal", "metal", false},
    BackendName{BackendKind::neuron, "neuron", "neuron", false},
    BackendName{BackendKind::tpu, "tpu", "tpu", false},
    BackendName{BackendKind::cuda, "cuda", "cu", true},
    BackendName{BackendKind::rocm, "rocm", "rocm", true},
    BackendName{BackendKind::xpu, "xpu", "xpu", true},
    BackendName{BackendKind::cann, "cann", "cann", true},
};

const BackendName& entry(BackendKind kind) {
    return *std::find_if(backend_names.begin(), backend_names.end(),
                         [&](const auto& e) { return e.kind == kind; });
}

std::optional<int> number(std::string_view digits) {
    int value = 0;
    const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (digits.empty() || digits.front() == '-' || status != std::errc() ||
        end != digits.data() + digits.size()) {
        return std::nullopt;
    }
    return value;
}

// Splits digits into major and minor behind the first `major_digits` of them.
std::optional<Version> packed_version(std::string_view digits, std::size_t major_digits) {
    if (digits.size() < 2 || major_digits == 0) return std::nullopt;
    const auto major = number(digits.substr(0, major_digits));
    const auto minor = number(digits.substr(major_digits));
    if (!major || !minor) return std::nullopt;
    return Version{*major, *minor};
}

std::string packed(Version version) {
    return std::to_string(version.major) + std::to_string(version.minor);
}

}  // namespace

std::optional<Backend> Backend::parse(std::string_view text) {
    for (const auto& known : backend_names) {
        if (!known.versioned && text == known.prefix) return Backend{known.kind, {}};
    }
    for (const auto& known : backend_names) {
        if (!known.versioned || !text.starts_with(known.prefix)) continue;
        const auto digits = text.substr(known.prefix.size());
        const auto version = packed_version(digits, digits.empty() ? 0 : digits.size() - 1);
        return version ? std::optional(Backend{known.kind, *version}) : std::nullopt;
    }
    return std::nullopt;
}

std::string Backend::to_string() const {
    const auto& known = entry(kind);
    return std::string(known.prefix) + (known.versioned ? packed(version) : std::string());
}

std::string_view Backend::name() const noexcept {
    return entry(kind).name;
}

bool Backend::is_versioned() const noexcept {
    return entry(kind).versioned;
}

std::optional<BuildVariant> BuildVariant::try_parse(std::string_view name) {
    constexpr std::string_view stable_prefix = "torch-stable-abi";
    constexpr std::string_view tvm_prefix = "tvm-ffi";
    constexpr std::string_view torch_prefix = "torch";
    if (name.size() > 200 || name.find_first_of("/\\") != std::string_view::npos) return std::nullopt;

    BuildVariant variant;
    variant.m_name = name;
    const auto parts = split(name, '-');
    std::size_t next = 1;  // the first part behind the framework
    if (name.starts_with(stable_prefix)) {
        variant.m_framework = FrameworkKind::torch_stable_abi;
        const auto version = packed_version(parts[2].substr(3), 1);  // behind "abi"
        if (!version) return std::nullopt;
        variant.m_framework_version = *version;
        next = 3;
    } else if (parts[0] == torch_prefix) {
        variant.m_framework = FrameworkKind::torch_noarch;
        variant.m_noarch_backend =
            parts.size() > 1 ? name.substr(torch_prefix.size() + 1) : std::string_view();
        return variant;
    } else if (parts[0].starts_with(torch_prefix)) {
        variant.m_framework = FrameworkKind::torch;
        const auto version = packed_version(parts[0].substr(torch_prefix.size()), 1);
        if (!version) return std::nullopt;
        variant.m_framework_version = *version;
        if (parts.size() > 1 && (parts[1] == "cxx11" || parts[1] == "cxx98")) {
            variant.m_cxx11_abi = parts[1] == "cxx11";
            next = 2;
        }
    } else if (name.starts_with(tvm_prefix)) {
        variant.m_framework = FrameworkKind::tvm_ffi;
        const auto version = packed_version(parts[1].substr(3), 1);  // behind "ffi"
        if (!version) return std::nullopt;
        variant.m_framework_version = *version;
        next = 2;
    } else {
        return std::nullopt;
    }
    if (parts.size() != next + 3) return std::nullopt;
    const auto backend = Backend::parse(parts[next]);
    if (!backend) return std::nullopt;
    variant.m_backend = *backend;
    variant.m_cpu = parts[next + 1];
    variant.m_os = parts[next + 2];
    return variant;
}

BuildVariant BuildVariant::parse(std::string_view name) {
    auto variant = try_parse(name);
    if (!variant) {
        throw Error(ErrorCode::usage, backquoted(name) + ": not a build variant",
                    "build variants look like torch213-cxx11-cu128-x86_64-linux or torch-universal");
    }
    return std::move(*variant);
}

std::string BuildVariant::backend_name() const {
    return is_noarch() ? m_noarch_backend : std::string(m_backend.name());
}

std::vector<BuildVariant> variants_in(const std::filesystem::path& folder) {
    std::vector<BuildVariant> variants;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
        auto variant = BuildVariant::try_parse(entry.path().filename().string());
        if (variant && entry.is_directory(error)) variants.push_back(std::move(*variant));
    }
    std::sort(variants.begin(), variants.end());
    return variants;
}

}  // namespace kernels::build
