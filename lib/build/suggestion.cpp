#include "kernels/build/suggestion.hpp"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
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

// The first that is known to have code for the device, else the first that may have.
std::optional<Suggestion> other_version(const Target& target, std::span<const OtherVersion> others) {
    std::optional<Suggestion> perhaps;
    for (const auto& other : others) {
        const auto selection = select(other.variants, target);
        const auto* best = selection.best();
        if (best == nullptr) continue;
        const auto device = fit_on_device(*best, target, other.device_fit);
        if (device.fit == Fit::no) continue;
        const bool is_known = device.fit == Fit::yes || !names_device(target) || !other.device_fit;
        if (!is_known && perhaps) continue;
        Suggestion suggestion{
            Suggestion::Kind::version, other.name, best->to_string(),
            other.name + " has " + kind_of_build(*best) + " that fits " + environment_text(target) +
                (device.fit == Fit::yes ? device_text(target) : "") + " (" + best->to_string() + ")"};
        if (is_known) return suggestion;
        perhaps = std::move(suggestion);
    }
    return perhaps;
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

// One change of the target that a build asks for.
struct Change {
    Suggestion::Kind kind;
    std::string value;  // "2.12"
    bool is_newer;      // than what the target has
    std::function<void(Target&)> apply;
};

// All changes that could matter for a build. Another version of the same backend can be installed; another
// backend is another device.
std::vector<Change> changes_for(const BuildVariant& variant, const Target& target) {
    std::vector<Change> out;
    const Version version = variant.framework_version();
    if (variant.framework() == FrameworkKind::torch ||
        variant.framework() == FrameworkKind::torch_stable_abi) {
        out.push_back(
            {Suggestion::Kind::torch, version.to_string(), target.torch < version, [version](Target& t) {
                 t.torch = version;
                 if (t.os == "linux") t.cxx11_abi = wheels_have_cxx11_abi(version, t.backend, t.cpu);
             }});
        if (const auto abi = variant.cxx11_abi(); abi && target.os == "linux") {
            out.push_back({Suggestion::Kind::cxx11_abi, *abi ? "true" : "false", false,
                           [abi](Target& t) { t.cxx11_abi = abi; }});
        }
    } else if (variant.framework() == FrameworkKind::tvm_ffi) {
        out.push_back({Suggestion::Kind::tvm_ffi, version.to_string(), target.tvm_ffi < version,
                       [version](Target& t) { t.tvm_ffi = version; }});
    }
    if (variant.is_noarch()) return out;
    const Backend backend = variant.backend();
    if (backend.kind == target.backend.kind && backend.is_versioned()) {
        out.push_back({Suggestion::Kind::backend, backend.version.to_string(),
                       target.backend.version < backend.version,
                       [backend](Target& t) { t.backend = backend; }});
    }
    if (backend.kind == BackendKind::metal) {
        out.push_back({Suggestion::Kind::macos, "26.0", true, [](Target& t) { t.macos = Version{26, 0}; }});
    }
    return out;
}

Target changed_by(Target target, std::span<const Change> changes) {
    for (const auto& change : changes)
        change.apply(target);
    return target;
}

// Changes that together make a build usable.
struct Remedies {
    BuildVariant variant;
    std::vector<Change> changes;
    Target changed;

    // Each is one package to install; a torch with another ABI than its wheels has to be compiled.
    std::size_t cost() const {
        std::size_t sum = 0;
        for (const auto& change : changes)
            sum += change.kind == Suggestion::Kind::cxx11_abi ? 10 : 1;
        return sum;
    }
};

// Of all changes those without which the build would not fit; none where even all do not help.
std::optional<Remedies> least_changes(const BuildVariant& variant, const Target& target) {
    auto changes = changes_for(variant, target);
    if (!fits(variant, changed_by(target, changes))) return std::nullopt;
    for (std::size_t i = 0; i < changes.size();) {
        auto fewer = changes;
        fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
        if (fits(variant, changed_by(target, fewer))) {
            changes = std::move(fewer);
        } else {
            ++i;
        }
    }
    if (changes.empty()) return std::nullopt;
    auto changed = changed_by(target, changes);
    return Remedies{variant, std::move(changes), std::move(changed)};
}

// What could help, the cheapest first, then as the builds are told.
std::vector<Remedies> remedies_for(const Selection& selection, const Target& target) {
    std::vector<Remedies> out;
    for (const auto& decision : selection.decisions) {
        // Passed over for a preferred one without code for the device: a change can make it the preferred.
        if (!decision.accepted()) continue;
        for (auto& change : changes_for(decision.variant, target)) {
            auto changed = changed_by(target, std::span(&change, 1));
            out.push_back({decision.variant, {std::move(change)}, std::move(changed)});
        }
    }
    for (const auto& decision : nearest_first(selection, target)) {
        if (auto found = least_changes(decision.variant, target)) out.push_back(std::move(*found));
    }
    std::stable_sort(out.begin(), out.end(),
                     [](const Remedies& a, const Remedies& b) { return a.cost() < b.cost(); });
    return out;
}

// "torch 2.12 for cuda 12.8", "a torch for cuda 12.8", "macOS 26.0 or newer".
std::string text_of(const Remedies& remedies, const Target& target) {
    const auto find = [&](Suggestion::Kind kind) {
        const auto found = std::find_if(remedies.changes.begin(), remedies.changes.end(),
                                        [&](const Change& change) { return change.kind == kind; });
        return found == remedies.changes.end() ? nullptr : &*found;
    };
    const auto* const torch = find(Suggestion::Kind::torch);
    const auto* const abi = find(Suggestion::Kind::cxx11_abi);
    const auto* const backend = find(Suggestion::Kind::backend);
    const std::string device =
        backend == nullptr ? "" : std::string(target.backend.name()) + " " + backend->value;
    const auto framework = remedies.variant.framework();
    std::string out;
    const auto add = [&](const std::string& text) { out += (out.empty() ? "" : " and ") + text; };
    if (framework == FrameworkKind::tvm_ffi) {
        if (const auto* ffi = find(Suggestion::Kind::tvm_ffi)) add("tvm-ffi " + ffi->value);
        if (backend != nullptr) add(device);
        return out;
    }
    if (torch != nullptr || backend != nullptr || abi != nullptr) {
        out = torch == nullptr ? "a torch" : "torch " + torch->value;
        if (torch != nullptr && framework == FrameworkKind::torch_stable_abi) out += " or newer";
        if (backend != nullptr) out += " for " + device;
        if (abi != nullptr)
            out += abi->value == "true" ? " compiled for the C++11 ABI" : " compiled for the old C++ ABI";
    }
    if (const auto* macos = find(Suggestion::Kind::macos)) add("macOS " + macos->value + " or newer");
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
        case Suggestion::Kind::cxx11_abi:
            return "cxx11-abi";
        case Suggestion::Kind::target:
            return "target";
    }
    return "unknown";
}

std::vector<Suggestion> suggest(const Selection& selection, const Target& target,
                                std::span<const OtherVersion> others, const DeviceFitOf& fit_of) {
    std::vector<Suggestion> out;
    if (selection.best() != nullptr) return out;
    if (auto found = other_version(target, others)) out.push_back(std::move(*found));
    std::size_t cost = 0;
    std::set<std::pair<Suggestion::Kind, bool>> named;
    for (const auto& remedies : remedies_for(selection, target)) {
        // Where a cheaper one helps, the others are not worth a line.
        if (!named.empty() && remedies.cost() > cost) break;
        const auto& first = remedies.changes.front();
        const bool several = remedies.changes.size() > 1;
        const std::pair key{several ? Suggestion::Kind::target : first.kind, !several && first.is_newer};
        if (named.contains(key) || !would_fit(remedies.variant, selection, remedies.changed, fit_of))
            continue;
        named.insert(key);
        cost = remedies.cost();
        out.push_back({key.first, several ? remedies.changed.to_string() : first.value,
                       remedies.variant.to_string(),
                       remedies.variant.to_string() + " would fit with " + text_of(remedies, target)});
    }
    return out;
}

Error no_build_error(const std::string& what, const Selection& selection, const Target& target,
                     std::span<const Suggestion> suggestions, Origin origin) {
    const bool is_local = origin == Origin::local;
    if (selection.decisions.empty()) {
        return {ErrorCode::no_build, what + ": it has no builds at all",
                is_local ? "build it" : "ask its publisher to build it"};
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
    const bool torch_helps =
        std::any_of(suggestions.begin(), suggestions.end(), [](const Suggestion& suggestion) {
            return suggestion.kind == Suggestion::Kind::torch || suggestion.value.starts_with("torch=");
        });
    // A machine without torch counts as one of these, which the torch that is named for it may change.
    const bool backend_may_change = suggestions.empty() && (target.backend.kind == BackendKind::cpu ||
                                                            target.backend.kind == BackendKind::cuda);
    const bool lacks_torch = !by_device && !target.torch && (torch_helps || backend_may_change);
    if (by_device) {
        message = what + ": " + builds.front().variant + ": " + builds.front().text;
        if (hint.empty()) {
            hint = std::string("its first launch would fail; ") +
                   (is_local ? "build it for this device too" : "choose another version of the kernel") +
                   ", or";
        } else {
            hint += "; or";
        }
        hint += " skip this check if the kernel is known to work (what a build states can be incomplete)";
    } else if (hint.empty()) {
        hint = std::string(
                   is_local ? "build it for that"
                            : "choose another version of the kernel, or ask its publisher for such a build") +
               ": no " + std::string(target.torch ? "other " : "") + "torch for " +
               std::string(target.backend.name()) + " helps" +
               (lacks_torch ? ", one for another backend may" : "");
    }
    if (lacks_torch) {
        hint =
            std::string(target.tvm_ffi ? "the target names no torch; " : "no torch is named or was found; ") +
            hint;
    }
    const auto error = Error(ErrorCode::no_build, message, std::move(hint), std::move(details))
                           .with_builds(std::move(builds), std::move(fields));
    if (by_device) return error.with_remedies({Remedy::skip_device_check});
    return lacks_torch ? error.with_remedies({Remedy::torch}) : error;
}

}  // namespace kernels::build
