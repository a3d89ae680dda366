#include "kernels/layer/device.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "hash.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels::layer {
namespace {

// What others call these devices. By the letters alone `gpu` is next to cpu.
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> other_names{{
    {"gpu", "`cuda` or `rocm`"},
    {"nvidia", "`cuda`"},
    {"hip", "`rocm`"},
    {"metal", "`mps`"},
    {"cann", "`npu`"},
    {"ascend", "`npu`"},
}};

int parse_capability(std::string_view text, int absent, std::string_view whole) {
    if (text.empty()) return absent;
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        throw Error(ErrorCode::usage, backquoted(whole) + ": " + backquoted(text) + " is no capability",
                    "compute capability 8.0 is written 80");
    }
    return value;
}

std::string capability_text(int capability, int unwritten) {
    return capability == unwritten ? "" : std::to_string(capability);
}

void require_properties_fit(const std::string& type, const char* properties, const char* fitting) {
    if (type == fitting) return;
    throw Error(ErrorCode::usage, std::string(properties) + ": they are no properties of " + backquoted(type),
                std::string("they fit the device ") + fitting);
}

}  // namespace

CapabilityProperties::CapabilityProperties(const char* type, int min_capability, int max_capability)
    : m_interval{min_capability, max_capability} {
    const std::string what(type);
    if (min_capability < 0) {
        throw Error(ErrorCode::usage,
                    what + ": min_capability " + std::to_string(min_capability) + " is negative",
                    "compute capability 8.0 is written 80");
    }
    if (min_capability > max_capability) {
        throw Error(ErrorCode::usage, what + ": min_capability " + std::to_string(min_capability) +
                                          " is greater than max_capability " +
                                          std::to_string(max_capability));
    }
}

CUDAProperties::CUDAProperties(int min_capability, int max_capability)
    : CapabilityProperties("CUDAProperties", min_capability, max_capability) {}

ROCMProperties::ROCMProperties(int min_capability, int max_capability)
    : CapabilityProperties("ROCMProperties", min_capability, max_capability) {}

Device::Device(std::string_view type) : m_type(type) {
    const auto& known = device_types();
    if (std::find(known.begin(), known.end(), m_type) != known.end()) return;
    const auto alias = std::find_if(other_names.begin(), other_names.end(),
                                    [&](const auto& names) { return names.first == m_type; });
    auto hint = alias != other_names.end()
                    ? "did you mean " + std::string(alias->second) + "? devices: " + join(known, ", ")
                    : instead_of(m_type, "devices", known);
    const auto colon = m_type.find(':');
    if (const auto one = std::find(known.begin(), known.end(), m_type.substr(0, colon));
        colon != std::string::npos && one != known.end())
        hint = "kernels are chosen for a type of device: " + *one;
    throw Error(ErrorCode::usage, backquoted(m_type) + " is no device", hint);
}

Device::Device(std::string_view type, CUDAProperties properties) : Device(type) {
    require_properties_fit(m_type, "CUDAProperties", "cuda");
    m_properties = properties;
}

Device::Device(std::string_view type, ROCMProperties properties) : Device(type) {
    require_properties_fit(m_type, "ROCMProperties", "rocm");
    m_properties = properties;
}

Device Device::parse(std::string_view text) {
    const auto bracket = text.find('[');
    if (bracket == std::string_view::npos) return {text};
    const std::string_view type = text.substr(0, bracket);
    std::string_view range = text.substr(bracket + 1);
    const auto dots = range.find("..");
    if (!range.ends_with(']') || dots == std::string_view::npos) {
        throw Error(ErrorCode::usage, backquoted(text) + ": not of the form cuda[75..90]");
    }
    range.remove_suffix(1);
    const CapabilityInterval interval{
        parse_capability(range.substr(0, dots), 0, text),
        parse_capability(range.substr(dots + 2), CapabilityInterval::unlimited, text)};
    if (type == "rocm") return {type, ROCMProperties(interval.least, interval.most)};
    if (type == "cuda") return {type, CUDAProperties(interval.least, interval.most)};
    return device_with(type, interval.is_everything() ? CapabilityInterval{0, 0} : interval);
}

std::string Device::to_string() const {
    if (!has_properties()) return m_type;
    const auto range = interval();
    return m_type + "[" + capability_text(range.least, 0) + ".." +
           capability_text(range.most, CapabilityInterval::unlimited) + "]";
}

CapabilityInterval Device::interval() const noexcept {
    if (const auto* properties = cuda_properties()) return properties->interval();
    if (const auto* properties = rocm_properties()) return properties->interval();
    return {};
}

Device device_with(std::string_view type, CapabilityInterval interval) {
    if (interval.is_everything()) return {type};
    if (type == "cuda") return {type, CUDAProperties(interval.least, interval.most)};
    if (type == "rocm") return {type, ROCMProperties(interval.least, interval.most)};
    const Device device(type);
    throw Error(ErrorCode::usage, device.type() + " has no capabilities", "only cuda and rocm have");
}

const std::vector<std::string>& device_types() {
    static const std::vector<std::string> types = {"cpu", "cuda", "mps", "neuron",
                                                   "npu", "rocm", "tpu", "xpu"};
    return types;
}

bool has_capabilities(std::string_view type) noexcept {
    return type == "cuda" || type == "rocm";
}

}  // namespace kernels::layer

namespace {

std::size_t hash_of(const kernels::layer::CapabilityProperties& properties) noexcept {
    return kernels::layer::hash_all(properties.min_capability(), properties.max_capability());
}

}  // namespace

std::size_t std::hash<kernels::layer::CUDAProperties>::operator()(
    const kernels::layer::CUDAProperties& properties) const noexcept {
    return hash_of(properties);
}

std::size_t std::hash<kernels::layer::ROCMProperties>::operator()(
    const kernels::layer::ROCMProperties& properties) const noexcept {
    return hash_of(properties);
}

std::size_t std::hash<kernels::layer::Device>::operator()(
    const kernels::layer::Device& device) const noexcept {
    const auto interval = device.interval();
    return kernels::layer::hash_all(device.type(), device.has_properties(), interval.least, interval.most);
}
