// Which repository of a mapping a layer gets on a device in a mode.
#pragma once

#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "kernels/layer/mapping.hpp"

namespace kernels::layer {

/// Why a layer keeps its original forward. The first four are looked at in this order.
enum class NoKernel {
    no_layer,          ///< the mapping does not name the layer
    no_device,         ///< it has nothing for the device type
    no_properties,     ///< no interval contains the device's capability
    no_mode,           ///< no repository, or no loaded kernel, is for the mode
    cannot_load,       ///< the kernel cannot be had or loaded
    not_redirectable,  ///< a torch::nn::Module whose owner calls it by its own type
    disabled,          ///< DISABLE_KERNEL_MAPPING
};
/// "no-layer", "no-device", "no-properties", "no-mode", "cannot-load", "not-redirectable" and "disabled", as
/// in `--json`.
std::string_view to_string(NoKernel reason) noexcept;

/// In which cases the original forward may stay: flags. What is not covered is an error.
class KernelizeFallback {
  public:
    /// The single cases, by their reasons' names, and what they are together.
    static const KernelizeFallback none;
    static const KernelizeFallback no_layer;
    static const KernelizeFallback no_device;
    static const KernelizeFallback no_compatible_properties;
    static const KernelizeFallback no_compatible_mode;
    static const KernelizeFallback cannot_load;
    static const KernelizeFallback not_redirectable;
    static const KernelizeFallback standard;  ///< all but cannot_load: what `use_fallback = true` means
    static const KernelizeFallback all;

    /// `true` is standard, `false` is none.
    template <std::same_as<bool> Flag>
    constexpr KernelizeFallback(Flag use_fallback)  // NOLINT(google-explicit-constructor)
        : m_flags(use_fallback ? standard_flags : 0U) {}
    /// What parse() reads. Nothing else converts: a number and a null pointer name no case.
    template <typename Text>
    requires(std::convertible_to<const Text&, std::string_view> && !std::is_null_pointer_v<Text>)
        KernelizeFallback(const Text& text)  // NOLINT(google-explicit-constructor)
        : KernelizeFallback(parse(std::string_view(text))) {}
    /// "none", "default", "all", or the reasons' names with `|` between them. Throws Error(usage).
    static KernelizeFallback parse(std::string_view text);
    /// "none", "default", "all", "no-layer|no-mode", …; what parse() reads.
    std::string to_string() const;

    /// Whether the original forward may stay for this reason. `disabled` always is.
    bool covers(NoKernel reason) const noexcept;
    friend constexpr KernelizeFallback operator|(KernelizeFallback left, KernelizeFallback right) {
        return KernelizeFallback(left.m_flags | right.m_flags);
    }
    friend bool operator==(KernelizeFallback, KernelizeFallback) = default;

  private:
    explicit constexpr KernelizeFallback(unsigned flags) : m_flags(flags) {}
    /// What `use_fallback = true` means: all but 16, cannot_load.
    static constexpr unsigned standard_flags = 15U | 32U;
    unsigned m_flags;
};

inline constexpr KernelizeFallback KernelizeFallback::none{0U};
inline constexpr KernelizeFallback KernelizeFallback::no_layer{1U};
inline constexpr KernelizeFallback KernelizeFallback::no_device{2U};
inline constexpr KernelizeFallback KernelizeFallback::no_compatible_properties{4U};
inline constexpr KernelizeFallback KernelizeFallback::no_compatible_mode{8U};
inline constexpr KernelizeFallback KernelizeFallback::cannot_load{16U};
inline constexpr KernelizeFallback KernelizeFallback::not_redirectable{32U};
inline constexpr KernelizeFallback KernelizeFallback::standard{standard_flags};
inline constexpr KernelizeFallback KernelizeFallback::all{63U};

/// What a mapping holds for a layer.
struct Chosen {
    Repository repository;
    Mode mode;      ///< for which it was registered
    Device device;  ///< with the interval for which it was registered
};

/// What select() found, or why nothing.
struct Selection {
    std::optional<Chosen> chosen;
    NoKernel reason = NoKernel::no_layer;  ///< when nothing was
    std::string why;                       ///< the reason for people, naming layer, device and mode
    explicit operator bool() const noexcept { return chosen.has_value(); }
};

/// The repository for a layer, by these rules, each the Python client's:
///
/// 1. only the places of the device type count;
/// 2. of these the smallest interval that contains `capability` (of equally small ones that with the greater
///    least, where the Python client's choice is arbitrary); without a known capability only a place for all
///    of them, where the Python client fails. The capability is looked at for cuda and rocm alone;
/// 3. of that place's modes the first of `mode.candidates()`. What it lacks no other place makes up.
///
/// Throws Error(usage) for a mode that no model is used in. DISABLE_KERNEL_MAPPING is kernelize's to look at.
Selection select(const KernelMapping& mapping, const std::string& layer, const Device& device,
                 std::optional<int> capability, Mode mode);

/// Throws Error(kernelize), naming the layer, when `fallback` does not cover the selection's reason.
void require_covered(const Selection& selection, KernelizeFallback fallback);

}  // namespace kernels::layer
