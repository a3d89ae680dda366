// The devices of a kernel mapping, and the capabilities that an entry can be limited to.
#pragma once

#include <compare>
#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace kernels::layer {

/// A closed interval of compute capabilities. Ordered by the least, then by the most.
struct CapabilityInterval {
    static constexpr int unlimited = std::numeric_limits<int>::max();
    int least = 0;
    int most = unlimited;

    /// Both ends belong to it.
    bool contains(int capability) const noexcept { return least <= capability && capability <= most; }
    /// The smaller it is the sooner it wins; see select().
    int width() const noexcept { return most - least; }
    /// No limit at either end.
    bool is_everything() const noexcept { return *this == CapabilityInterval{}; }
    friend auto operator<=>(const CapabilityInterval&, const CapabilityInterval&) = default;
};

/// What CUDAProperties and ROCMProperties have in common; not a type for mappings. Capabilities are written
/// as in the Python client, major and minor version behind each other: 75 is 7.5, 90 is 9.0.
class CapabilityProperties {
  public:
    /// The two ends as given, and both as an interval.
    int min_capability() const noexcept { return m_interval.least; }
    int max_capability() const noexcept { return m_interval.most; }
    CapabilityInterval interval() const noexcept { return m_interval; }
    friend auto operator<=>(const CapabilityProperties&, const CapabilityProperties&) = default;

  protected:
    CapabilityProperties(const char* type, int min_capability, int max_capability);

  private:
    CapabilityInterval m_interval;
};

/// The CUDA compute capabilities that a mapping entry is for, both ends included.
class CUDAProperties : public CapabilityProperties {
  public:
    /// Throws Error(usage) when the least is negative or greater than the most.
    CUDAProperties(int min_capability, int max_capability);
    friend auto operator<=>(const CUDAProperties&, const CUDAProperties&) = default;
};

/// The same for ROCm, where torch gives gfx942 the capability 94.
class ROCMProperties : public CapabilityProperties {
  public:
    /// Throws Error(usage) as CUDAProperties does.
    ROCMProperties(int min_capability, int max_capability);
    friend auto operator<=>(const ROCMProperties&, const ROCMProperties&) = default;
};

/// A device type, with the properties that a mapping entry demands of the device. Only devices that kernels
/// can be mapped to exist (see device_types). No properties means every device of the type; a device with
/// properties is not equal to one without, even when its interval holds everything, but both mean the same
/// place of a mapping.
class Device {
  public:
    /// Throws Error(usage) with the list of types, and the nearest of them, for an unknown one.
    Device(std::string_view type);                                       // NOLINT
    Device(const char* type) : Device(std::string_view(type)) {}         // NOLINT
    Device(const std::string& type) : Device(std::string_view(type)) {}  // NOLINT
    /// Throw Error(usage) for a type that these properties do not fit.
    Device(std::string_view type, CUDAProperties properties);
    Device(std::string_view type, ROCMProperties properties);

    /// Reads what to_string writes: `cuda`, or `cuda[75..90]`, where either end may be missing. Throws
    /// Error(usage) as the constructors do, and for a type without capabilities.
    static Device parse(std::string_view text);
    /// `cuda`, `cuda[75..90]`; what parse() reads.
    std::string to_string() const;

    /// One of device_types().
    const std::string& type() const noexcept { return m_type; }
    /// nullptr when there are none of that kind.
    const CUDAProperties* cuda_properties() const noexcept {
        return std::get_if<CUDAProperties>(&m_properties);
    }
    /// nullptr when there are none of that kind.
    const ROCMProperties* rocm_properties() const noexcept {
        return std::get_if<ROCMProperties>(&m_properties);
    }
    /// Of either kind.
    bool has_properties() const noexcept { return m_properties.index() != 0; }
    /// The capabilities that the entry is for: everything without properties.
    CapabilityInterval interval() const noexcept;

    friend auto operator<=>(const Device&, const Device&) = default;

  private:
    std::string m_type;
    std::variant<std::monostate, CUDAProperties, ROCMProperties> m_properties;
};

/// A device of the type, limited to an interval where the type has capabilities. An interval of everything is
/// no limit. Throws Error(usage) as Device does.
Device device_with(std::string_view type, CapabilityInterval interval);

/// The types that a mapping can name: cpu, cuda, mps, neuron, npu, rocm, tpu and xpu.
const std::vector<std::string>& device_types();
/// Whether entries for the type can be limited to capabilities: cuda and rocm.
bool has_capabilities(std::string_view type) noexcept;

}  // namespace kernels::layer

template <>
struct std::hash<kernels::layer::CUDAProperties> {
    std::size_t operator()(const kernels::layer::CUDAProperties& properties) const noexcept;
};
template <>
struct std::hash<kernels::layer::ROCMProperties> {
    std::size_t operator()(const kernels::layer::ROCMProperties& properties) const noexcept;
};
template <>
struct std::hash<kernels::layer::Device> {
    std::size_t operator()(const kernels::layer::Device& device) const noexcept;
};
