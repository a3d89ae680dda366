#include "kernels/build/selection.hpp"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <tuple>

namespace kernels::build {
namespace {

constexpr Version metal_needs_macos{26, 0};  // the Hub's Metal builds are made with -std=metal4.0

// Reasons are in the Python client's words, which people search for; a contract test compares them.
std::string or_none(const std::optional<Version>& version) {
    return version ? version->to_string() : "None";
}

std::string or_none(std::optional<bool> flag) {
    return !flag ? "None" : *flag ? "True" : "False";
}

// "WHAT (of the build) RELATION (of the target)"
Rejection mismatch(Reason reason, std::string_view what, const std::string& built, std::string_view relation,
                   const std::string& here, std::string_view end = {}) {
    return {reason, std::string(what) + " (" + built + ") " + std::string(relation) + " (" + here + ")" +
                        std::string(end)};
}

std::optional<Rejection> check_framework(const BuildVariant& variant, const Target& target) {
    const Version version = variant.framework_version();
    switch (variant.framework()) {
        case FrameworkKind::torch:
            if (target.torch != version) {
                return mismatch(Reason::torch_version, "Torch version", version.to_string(),
                                "does not match environment Torch version", or_none(target.torch));
            }
            if (variant.cxx11_abi() && variant.cxx11_abi() != target.cxx11_abi) {
                return mismatch(Reason::cxx11_abi, "Torch CXX11 ABI", or_none(variant.cxx11_abi()),
                                "does not match environment Torch CXX11 ABI", or_none(target.cxx11_abi));
            }
            return std::nullopt;
        case FrameworkKind::torch_stable_abi:
            if (!target.torch || version > *target.torch) {
                return mismatch(Reason::stable_abi, "Torch stable ABI version", version.to_string(),
                                "is too new for environment Torch version", or_none(target.torch));
            }
            return std::nullopt;
        case FrameworkKind::tvm_ffi:
            if (target.tvm_ffi != version) {
                return mismatch(Reason::tvm_ffi, "tvm-ffi version", version.to_string(),
                                "does not match environment tvm-ffi version", or_none(target.tvm_ffi));
            }
            return std::nullopt;
        case FrameworkKind::torch_noarch:
            return std::nullopt;
    }
    return std::nullopt;
}

std::optional<Rejection> check_backend(const BuildVariant& variant, const Target& target) {
    const Backend& built = variant.backend();
    const Backend& here = target.backend;
    if (built.kind == BackendKind::cuda && here.kind == BackendKind::cuda) {
        if (built.version.major == here.version.major && built.version.minor <= here.version.minor)
            return std::nullopt;
        return mismatch(Reason::backend, "CUDA version", built.version.to_string(),
                        "is not compatible with system CUDA version", here.version.to_string());
    }
    // By name, as the Python client: "rocm710" can be 7.10 or 71.0, and its tag says no more.
    if (built.to_string() != here.to_string()) {
        return mismatch(Reason::backend, "backend", built.to_string(), "does not match selected backend",
                        here.to_string());
    }
    if (built.kind == BackendKind::metal && (!target.macos || *target.macos < metal_needs_macos)) {
        return Rejection{Reason::macos, "Metal kernels require macOS " + metal_needs_macos.to_string() +
                                            " or later, system macOS version is " + or_none(target.macos)};
    }
    return std::nullopt;
}

std::optional<Rejection> check(const BuildVariant& variant, const Target& target) {
    if (variant.is_noarch()) {
        const std::string here =
            target.backend.kind == BackendKind::cann ? "npu" : std::string(target.backend.name());
        if (variant.backend_name() == here || variant.backend_name() == "universal") return std::nullopt;
        return mismatch(Reason::backend, "backend", variant.backend_name(), "does not match system backend",
                        here, " and is not universal");
    }
    if (variant.cpu() != target.cpu)
        return mismatch(Reason::cpu, "CPU", variant.cpu(), "does not match system CPU", target.cpu);
    if (variant.os() != target.os)
        return mismatch(Reason::os, "OS", variant.os(), "does not match system OS", target.os);
    if (auto rejection = check_framework(variant, target)) return rejection;
    return check_backend(variant, target);
}

// Smaller is preferred.
auto preference(const Decision& decision) {
    const BuildVariant& variant = decision.variant;
    const int refused = decision.accepted() ? 0 : 1;
    if (variant.is_noarch()) {
        return std::tuple(refused, 2, 0, 0, variant.backend_name() == "universal" ? 1 : 0);
    }
    const int backend = variant.backend().is_versioned() ? -variant.backend().version.minor : 0;
    switch (variant.framework()) {
        case FrameworkKind::torch_stable_abi:
            return std::tuple(refused, 0, -variant.framework_version().major,
                              -variant.framework_version().minor, backend);
        case FrameworkKind::torch:
            return std::tuple(refused, 1, 0, variant.cxx11_abi() ? 1 : 0, backend);
        default:
            return std::tuple(refused, 2, 0, 0, backend);
    }
}

// Smaller for what is nearer, of two that are as near for the newer; where there is none here, for the
// newest.
int version_distance(Version built, const std::optional<Version>& here) {
    constexpr int another_major = 60;
    constexpr int at_most = 90;
    const int age = built.major * 20 + std::min(built.minor, 19);
    if (!here) return at_most - std::clamp(age, 0, at_most);
    if (built.major != here->major)
        return std::min(at_most, another_major + 10 * std::abs(built.major - here->major));
    return std::min(another_major, 2 * std::abs(built.minor - here->minor) + (built < *here ? 1 : 0));
}

// How much would have to change for a build to fit: a version is changed easily, a backend hardly, the
// machine not at all.
int distance(const BuildVariant& variant, const Target& target) {
    constexpr int another_machine = 10000;
    constexpr int another_backend = 1000;
    constexpr int another_version = 100;
    int sum = 0;
    if (variant.is_noarch()) {
        const bool fits = !check(variant, target).has_value();
        return fits ? 0 : another_backend;
    }
    if (variant.cpu() != target.cpu) sum += another_machine;
    if (variant.os() != target.os) sum += another_machine;
    if (const auto rejection = check_framework(variant, target)) {
        const bool ffi = rejection->reason == Reason::tvm_ffi;
        const auto& here = ffi ? target.tvm_ffi : target.torch;
        sum += another_version + version_distance(variant.framework_version(), here);
    }
    if (const auto rejection = check_backend(variant, target)) {
        const bool same_kind = variant.backend().kind == target.backend.kind;
        sum += same_kind
                   ? another_version + version_distance(variant.backend().version, target.backend.version)
                   : another_backend;
    }
    return sum;
}

}  // namespace

std::string_view to_string(Reason reason) noexcept {
    switch (reason) {
        case Reason::cpu:
            return "cpu";
        case Reason::os:
            return "os";
        case Reason::torch_version:
            return "torch-version";
        case Reason::cxx11_abi:
            return "cxx11-abi";
        case Reason::stable_abi:
            return "stable-abi";
        case Reason::tvm_ffi:
            return "tvm-ffi";
        case Reason::backend:
            return "backend";
        case Reason::macos:
            return "macos";
        case Reason::device:
            return "device";
    }
    return "unknown";
}

const BuildVariant* Selection::best() const noexcept {
    return !decisions.empty() && decisions.front().accepted() ? &decisions.front().variant : nullptr;
}

bool Selection::refused_for_device() const noexcept {
    if (decisions.empty()) return false;
    const auto& rejection = decisions.front().rejection;
    return rejection && rejection->reason == Reason::device;
}

Selection select(std::span<const BuildVariant> variants, const Target& target) {
    Selection selection;
    selection.decisions.reserve(variants.size());
    for (const auto& variant : variants)
        selection.decisions.push_back({variant, check(variant, target), false});
    std::stable_sort(selection.decisions.begin(), selection.decisions.end(),
                     [](const Decision& a, const Decision& b) { return preference(a) < preference(b); });
    return selection;
}

std::vector<Decision> as_told(const Selection& selection, const Target& target) {
    const auto fits_by_name = [](const Decision& decision) {
        return decision.accepted() || decision.rejection->reason == Reason::device;
    };
    std::vector<Decision> told;
    std::copy_if(selection.decisions.begin(), selection.decisions.end(), std::back_inserter(told),
                 fits_by_name);
    for (auto& decision : nearest_first(selection, target)) {
        if (!fits_by_name(decision)) told.push_back(std::move(decision));
    }
    return told;
}

std::vector<Decision> nearest_first(const Selection& selection, const Target& target) {
    std::vector<Decision> refused;
    for (const auto& decision : selection.decisions) {
        if (!decision.accepted()) refused.push_back(decision);
    }
    std::stable_sort(refused.begin(), refused.end(), [&](const Decision& a, const Decision& b) {
        return distance(a.variant, target) < distance(b.variant, target);
    });
    return refused;
}

}  // namespace kernels::build
