#include "kernels/layer/selection.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels::layer {
namespace {

constexpr std::array<std::pair<std::string_view, NoKernel>, 7> reason_names{{
    {"no-layer", NoKernel::no_layer},
    {"no-device", NoKernel::no_device},
    {"no-properties", NoKernel::no_properties},
    {"no-mode", NoKernel::no_mode},
    {"cannot-load", NoKernel::cannot_load},
    {"not-redirectable", NoKernel::not_redirectable},
    {"disabled", NoKernel::disabled},
}};

// In the order of their reasons.
constexpr std::array<KernelizeFallback, 6> single_flags = {KernelizeFallback::no_layer,
                                                           KernelizeFallback::no_device,
                                                           KernelizeFallback::no_compatible_properties,
                                                           KernelizeFallback::no_compatible_mode,
                                                           KernelizeFallback::cannot_load,
                                                           KernelizeFallback::not_redirectable};

// Of equally small intervals the one with the greater least is for the newer devices; intervals come in the
// order of their least.
const KernelMapping::Entry* smallest_place(const KernelMapping::Places& places,
                                           std::optional<int> capability) {
    const KernelMapping::Entry* best = nullptr;
    int width = 0;
    for (const auto& [interval, entry] : places) {
        if (capability ? !interval.contains(*capability) : !interval.is_everything()) continue;
        if (best != nullptr && interval.width() > width) continue;
        best = &entry;
        width = interval.width();
    }
    return best;
}

// "cuda[80..89] is the smallest interval that holds 86, and it has kernels for inference alone": another
// place may have one for the mode, but does not count.
std::string only_modes_of(const KernelMapping::Entry& place, std::optional<int> capability) {
    std::vector<std::string> modes;
    for (const auto& [mode, repository] : place.repositories.all())
        modes.push_back(mode.to_string());
    const std::string has = "kernels for " + join(modes, " and ") + " alone";
    if (!place.device.has_properties()) return place.device.to_string() + " has " + has;
    return place.device.to_string() + " is the smallest interval that holds " +
           std::to_string(capability.value_or(0)) + ", and it has " + has;
}

Selection nothing(NoKernel reason, std::string why) {
    return {std::nullopt, reason, std::move(why)};
}

}  // namespace

std::string_view to_string(NoKernel reason) noexcept {
    return reason_names.at(static_cast<std::size_t>(reason)).first;
}

KernelizeFallback KernelizeFallback::parse(std::string_view text) {
    if (text == "none") return none;
    if (text == "default") return standard;
    if (text == "all") return all;
    KernelizeFallback flags = none;
    std::vector<std::string> known = {"none", "default", "all"};
    for (std::size_t i = 0; i < single_flags.size(); ++i)
        known.emplace_back(reason_names.at(i).first);
    for (const auto part : split(text, '|')) {
        const std::string name(trimmed(part));
        bool found = false;
        for (std::size_t i = 0; i < single_flags.size(); ++i) {
            if (name != reason_names.at(i).first) continue;
            flags = flags | single_flags.at(i);
            found = true;
        }
        if (found) continue;
        if (std::find(known.begin(), known.begin() + 3, name) != known.begin() + 3) {
            throw Error(ErrorCode::usage, backquoted(text) + ": " + backquoted(name) + " stands alone",
                        "leave out it or what it is combined with");
        }
        throw Error(ErrorCode::usage,
                    backquoted(text) + ": " + backquoted(name) + " is no case to fall back in",
                    instead_of(name, "cases", known));
    }
    return flags;
}

std::string KernelizeFallback::to_string() const {
    if (*this == none) return "none";
    if (*this == standard) return "default";
    if (*this == all) return "all";
    std::vector<std::string> names;
    for (std::size_t i = 0; i < single_flags.size(); ++i) {
        if (covers(reason_names.at(i).second)) names.emplace_back(reason_names.at(i).first);
    }
    return join(names, "|");
}

bool KernelizeFallback::covers(NoKernel reason) const noexcept {
    if (reason == NoKernel::disabled) return true;
    return (m_flags & single_flags.at(static_cast<std::size_t>(reason)).m_flags) != 0;
}

Selection select(const KernelMapping& mapping, const std::string& layer, const Device& device,
                 std::optional<int> capability, Mode mode) {
    const auto candidates = mode.candidates();
    const auto* devices = mapping.find(layer);
    if (devices == nullptr) return nothing(NoKernel::no_layer, "no kernel is mapped to " + layer);
    const auto places = devices->find(device.type());
    if (places == devices->end()) {
        return nothing(NoKernel::no_device, layer + " has no kernel for the device " + device.type());
    }
    const bool limited = has_capabilities(device.type());
    const auto* place = smallest_place(places->second, limited ? capability : std::nullopt);
    if (place == nullptr) {
        return nothing(NoKernel::no_properties,
                       layer + " has no kernel for a " + device.type() + " device of " +
                           (capability ? "capability " + std::to_string(*capability) : "unknown capability"));
    }
    for (const Mode candidate : candidates) {
        const auto* repository = place->repositories.find(candidate);
        if (repository != nullptr) return {Chosen{*repository, candidate, place->device}, {}, {}};
    }
    return nothing(NoKernel::no_mode, layer + " has no kernel for the mode " + mode.to_string() + ": " +
                                          only_modes_of(*place, capability));
}

void require_covered(const Selection& selection, KernelizeFallback fallback) {
    if (selection || fallback.covers(selection.reason)) return;
    throw Error(ErrorCode::kernelize, selection.why,
                "map a kernel to it, or allow the original forward with use_fallback")
        .with_remedies({Remedy::fallback_default});
}

}  // namespace kernels::layer
