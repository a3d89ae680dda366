#include "kernels/layer/selection.hpp"

#include <algorithm>
#include <limits>

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels::layer {
namespace {

struct Interval {
    int least = 0;
    int most = std::numeric_limits<int>::max();
    auto operator<=>(const Interval&) const = default;
    bool contains(int value) const { return least <= value && value <= most; }
    int width() const { return most - least; }
};

Interval interval_of(const project::LayerEntry& entry) {
    Interval interval;
    if (entry.min_capability) interval.least = *entry.min_capability;
    if (entry.max_capability) interval.most = *entry.max_capability;
    return interval;
}

}  // namespace

const std::vector<std::string>& device_types() {
    static const std::vector<std::string> types = {"cpu",  "cuda", "mps",    "npu",
                                                   "rocm", "xpu",  "neuron", "tpu"};
    return types;
}

void require_device_type(const std::string& device, const std::string& origin) {
    const auto& known = device_types();
    if (std::find(known.begin(), known.end(), device) != known.end()) return;
    const auto hint = did_you_mean(device, known);
    throw Error(ErrorCode::usage, origin + ": " + backquoted(device) + " is no device",
                hint.empty() ? "devices: " + join(known, ", ") : hint);
}

void check_mapping(const project::Project& project) {
    for (const auto& entry : project.layers) {
        const std::string where = entry.where.to_string();
        try {
            require_device_type(entry.device, where + ".device");
            try {
                Mode::parse(entry.mode);
            } catch (const Error& error) {
                throw Error(ErrorCode::usage, where + ".mode: " + error.what(), error.hint());
            }
            const bool has_interval = entry.min_capability || entry.max_capability;
            if (has_interval && entry.device != "cuda" && entry.device != "rocm") {
                throw Error(ErrorCode::usage, where + ".device: " + entry.device + " has no capabilities",
                            "only cuda and rocm have");
            }
            const Interval interval = interval_of(entry);
            if (interval.least > interval.most) {
                throw Error(ErrorCode::usage,
                            where + ".device: min-capability is greater than max-capability");
            }
        } catch (const Error& error) {
            throw Error(ErrorCode::project_file, error.what(), error.hint());
        }
    }
}

Choice choose(const std::vector<project::LayerEntry>& entries, const std::string& layer,
              const std::string& device, std::optional<int> capability, Mode mode) {
    bool knows_layer = false;
    bool knows_device = false;
    // By interval, then by mode; a later entry replaces an earlier one for the same place.
    std::map<Interval, std::map<Mode, const project::LayerEntry*>> fitting;
    for (const auto& entry : entries) {
        if (entry.name != layer) continue;
        knows_layer = true;
        if (entry.device != device) continue;
        knows_device = true;
        const Interval interval = interval_of(entry);
        // Without a known capability only entries for every device can be trusted to fit.
        const bool fits = capability ? interval.contains(*capability) : interval == Interval{};
        if (fits) fitting[interval][Mode::parse(entry.mode)] = &entry;
    }
    if (!knows_layer) return {nullptr, "no kernel is mapped to " + layer};
    if (!knows_device) return {nullptr, layer + " has no kernel for the device " + device};
    if (fitting.empty()) return {nullptr, layer + " has no kernel for this device's capability"};
    const auto smallest = std::min_element(fitting.begin(), fitting.end(), [](const auto& a, const auto& b) {
        return a.first.width() < b.first.width();
    });
    for (const Mode candidate : mode.candidates()) {
        const auto found = smallest->second.find(candidate);
        if (found != smallest->second.end()) return {found->second, ""};
    }
    return {nullptr, layer + " has no kernel for the mode " + mode.to_string()};
}

}  // namespace kernels::layer
