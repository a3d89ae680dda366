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

std::optional<Suggestion> other_version(const Target& target, std::span<const OtherVersion> others) {
    for (const auto& other : others) {
        const auto selection = select(other.variants, target);
        if (const auto* best = selection.best()) {
            return Suggestion{Suggestion::Kind::version, other.name, best->to_string(),
                              other.name + " has " + kind_of_build(*best) + " that fits " +
                                  environment_text(target) + " (" + best->to_string() + ")"};
        }
    }
    return std::nullopt;
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

std::vector<Suggestion> suggest(const Selection& selection, const Target& target,
                                std::span<const OtherVersion> others) {
    std::vector<Suggestion> out;
    if (selection.best() != nullptr) return out;
    if (auto found = other_version(target, others)) out.push_back(std::move(*found));
    for (const auto& decision : nearest_first(selection, target)) {
        for (const auto& change : changes_for(decision.variant, target)) {
            const bool have =
                std::any_of(out.begin(), out.end(), [&](const auto& s) { return s.kind == change.kind; });
            if (have || !fits(decision.variant, change.changed)) continue;
            const bool minimum = decision.variant.framework() == FrameworkKind::torch_stable_abi &&
                                 change.kind == Suggestion::Kind::torch;
            out.push_back({change.kind, change.value, decision.variant.to_string(),
                           decision.variant.to_string() + " would fit with " + change.name + " " +
                               change.value +
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
    std::vector<std::string> details;
    for (const auto& decision : nearest_first(selection, target))
        details.push_back(decision.variant.to_string() + ": " + decision.rejection->text);
    std::string hint;
    for (const auto& suggestion : suggestions)
        hint += (hint.empty() ? "" : "; ") + suggestion.text;
    if (hint.empty()) hint = "no version of torch makes one fit; see the reasons above";
    return {ErrorCode::no_build, what + ": no build fits " + target.to_string(), std::move(hint),
            std::move(details)};
}

}  // namespace kernels::build
