#include "kernels/build/suggestion.hpp"

#include <algorithm>
#include <functional>
#include <optional>
#include <tuple>
#include <utility>

namespace kernels::build {
namespace {

bool fits(const BuildVariant& variant, const Target& target) {
    return select(std::span(&variant, 1), target).best() != nullptr;
}

// "torch 2.13 with CUDA 12.8": what a build has to fit, in a sentence.
std::string environment_text(const Target& target) {
    std::string out =
        target.torch ? "torch " + target.torch->to_string() : std::string("an environment without torch");
    out += " with " + std::string(target.backend.name());
    if (target.backend.is_versioned()) out += " " + target.backend.version.to_string();
    return out;
}

std::string kind_of_build(const BuildVariant& variant) {
    switch (variant.framework()) {
        case FrameworkKind::torch_stable_abi:
            return "a stable-ABI build";
        case FrameworkKind::tvm_ffi:
            return "a tvm-ffi build";
        case FrameworkKind::torch_noarch:
            return "a Python-only build";
        case FrameworkKind::torch:
            break;
    }
    return "a build";
}

std::string device_text(const Target& target) {
    if (target.capability) {
        return " on capability " + std::to_string(*target.capability / 10) + "." +
               std::to_string(*target.capability % 10);
    }
    return target.gpu_arch ? " on " + *target.gpu_arch : "";
}

// What is known of the device, when it matters.
DeviceFit fit_on_device(const BuildVariant& variant, const Target& target, const DeviceFitOf& fit_of) {
    return fit_of && names_device(target) ? fit_of(variant, target) : DeviceFit{};
}

std::optional<Suggestion> other_version(const Target& target, std::span<const OtherVersion> others) {
    for (const auto& other : others) {
        const auto selection = select(other.variants, target);
        const auto* best = selection.best();
        if (best == nullptr) continue;
        const auto device = fit_on_device(*best, target, other.device_fit);
        if (device.fit == Fit::no) continue;
        return Suggestion{Suggestion::Kind::version, other.name, best->to_string(),
                          other.name + " has " + kind_of_build(*best) + " that fits " +
                              environment_text(target) + (device.fit == Fit::yes ? device_text(target) : "") +
                              " (" + best->to_string() + ")"};
    }
    return std::nullopt;
}

// Whether `variant` would be usable after the change. With a known device it has to be the one that would be
// chosen then: a preferred one without code for it stands in its way.
bool would_fit(const BuildVariant& variant, const Selection& selection, const Target& changed,
               const DeviceFitOf& fit_of) {
    if (!fits(variant, changed)) return false;
    if (!fit_of || !names_device(changed)) return true;
    std::vector<BuildVariant> all;
    for (const auto& decision : selection.decisions)
        all.push_back(decision.variant);
    const auto then = select(all, changed);
    return then.best() != nullptr && *then.best() == variant && fit_of(variant, changed).fit != Fit::no;
}

// The builds in the order in which an error tells of them: the preferred one if its device code is the
// trouble, those passed over for it, the others.
std::vector<Error::Build> not_taken(const Selection& selection, const Target& target) {
    const bool by_device = selection.refused_for_device();
    std::vector<Error::Build> out;
    const auto add = [&](const Decision& decision) {
        out.push_back({decision.variant.to_string(), std::string(to_string(decision.rejection->reason)),
                       decision.rejection->text});
    };
    if (by_device) add(selection.decisions.front());
    for (const auto& decision : selection.decisions) {
        if (!decision.accepted()) continue;
        out.push_back({decision.variant.to_string(), "not-preferred",
                       "fits, but " + selection.decisions.front().variant.to_string() + " is preferred"});
    }
    for (const auto& decision : nearest_first(selection, target)) {
        if (!by_device || decision.variant != selection.decisions.front().variant) add(decision);
    }
    return out;
}

// One change of the target that a build asks for: what to call it, and the target after it.
struct Change {
    Suggestion::Kind kind;
    std::string name;   // "torch"
    std::string value;  // "2.12"
    Target changed;
};

std::vector<Change> changes_for(const BuildVariant& variant, const Target& target) {
    std::vector<Change> out;
    const auto change = [&](Suggestion::Kind kind, std::string name, std::string value, auto set) {
        Target changed = target;
        set(changed);
        out.push_back({kind, std::move(name), std::move(value), std::move(changed)});
    };
    const Version version = variant.framework_version();
    if (variant.framework() == FrameworkKind::torch ||
        variant.framework() == FrameworkKind::torch_stable_abi) {
        change(Suggestion::Kind::torch, "torch", version.to_string(), [&](Target& t) {
            t.torch = version;
            if (variant.cxx11_abi()) t.cxx11_abi = variant.cxx11_abi();
        });
    } else if (variant.framework() == FrameworkKind::tvm_ffi) {
        change(Suggestion::Kind::tvm_ffi, "tvm-ffi", version.to_string(),
               [&](Target& t) { t.tvm_ffi = version; });
    }
    // Another version of the same backend can be installed; another backend is another device.
    if (!variant.is_noarch() && variant.backend().kind == target.backend.kind &&
        variant.backend().is_versioned()) {
        const Backend& backend = variant.backend();
        change(Suggestion::Kind::backend, "a torch for " + std::string(backend.name()),
               backend.version.to_string(), [&](Target& t) { t.backend = backend; });
    }
    if (!variant.is_noarch() && variant.backend().kind == BackendKind::metal) {
        change(Suggestion::Kind::macos, "macOS", "26.0", [](Target& t) { t.macos = Version{26, 0}; });
    }
    return out;
}

}  // namespace

std::string_view to_string(Suggestion::Kind kind) noexcept {
    switch (kind) {
        case Suggestion::Kind::version:
            return "version";
        case Suggestion::Kind::torch:
            return "torch";
        case Suggestion::Kind::backend:
            return "backend";
        case Suggestion::Kind::macos:
            return "macos";
        case Suggestion::Kind::tvm_ffi:
            return "tvm-ffi";
    }
    return "unknown";
}

std::vector<Suggestion> suggest(const Selection& selection, const Target& target,
                                std::span<const OtherVersion> others, const DeviceFitOf& fit_of) {
    std::vector<Suggestion> out;
    if (selection.best() != nullptr) return out;
    if (auto found = other_version(target, others)) out.push_back(std::move(*found));
    std::vector<BuildVariant> candidates;  // passed over for a preferred one without code for the device
    for (const auto& decision : selection.decisions) {
        if (decision.accepted()) candidates.push_back(decision.variant);
    }
    for (const auto& decision : nearest_first(selection, target))
        candidates.push_back(decision.variant);
    for (const auto& variant : candidates) {
        for (const auto& change : changes_for(variant, target)) {
            const bool have =
                std::any_of(out.begin(), out.end(), [&](const auto& s) { return s.kind == change.kind; });
            if (have || !would_fit(variant, selection, change.changed, fit_of)) continue;
            const bool minimum = variant.framework() == FrameworkKind::torch_stable_abi &&
                                 change.kind == Suggestion::Kind::torch;
            out.push_back({change.kind, change.value, variant.to_string(),
                           variant.to_string() + " would fit with " + change.name + " " + change.value +
                               (minimum || change.kind == Suggestion::Kind::macos ? " or newer" : "")});
        }
    }
    return out;
}

Error no_build_error(const std::string& what, const Selection& selection, const Target& target,
                     std::span<const Suggestion> suggestions) {
    if (selection.decisions.empty()) {
        return {ErrorCode::no_build, what + ": it has no builds at all", "ask its publisher to build it"};
    }
    const bool by_device = selection.refused_for_device();
    auto builds = not_taken(selection, target);
    std::vector<std::string> details;
    for (const auto& build : std::span(builds).subspan(by_device ? 1 : 0))
        details.push_back(build.variant + ": " + build.text);
    std::string hint;
    std::vector<Error::Suggestion> fields;
    for (const auto& [kind, value, variant, text] : suggestions) {
        hint += (hint.empty() ? "" : "; ") + text;
        fields.push_back({std::string(to_string(kind)), value, variant, text});
    }
    std::string message = what + ": no build fits " + target.to_string();
    if (by_device) {
        message = what + ": " + builds.front().variant + ": " + builds.front().text;
        hint += (hint.empty() ? "its first launch would fail; choose another version of the kernel, or skip"
                              : "; or skip") +
                std::string(
                    " this check if the kernel is known to work (what a build "
                    "states can be incomplete)");
    } else if (hint.empty()) {
        hint =
            "choose another version of the kernel, or ask its publisher for such a build: no other torch "
            "helps";
    }
    const auto error = Error(ErrorCode::no_build, message, std::move(hint), std::move(details))
                           .with_builds(std::move(builds), std::move(fields));
    return by_device ? error.with_remedies({Remedy::skip_device_check}) : error;
}

}  // namespace kernels::build
