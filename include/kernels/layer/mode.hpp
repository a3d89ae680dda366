// What a kernelized model is used for.
#pragma once

#include <compare>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace kernels::layer {

/// Flags. `inference` and `training` exclude each other, either combines with `torch_compile`, and
/// `fallback`, which in a mapping means "when no other mode matches", combines with nothing:
///
///     const Mode mode = Mode::inference | Mode::torch_compile;
///
/// Only combinations that obey these rules exist. `torch_compile` alone is a value to combine others with;
/// a mapping and kernelize refuse it, as no model is used in that mode.
class Mode {
  public:
    /// The four flags; see Mode.
    static const Mode inference;
    static const Mode training;
    static const Mode torch_compile;
    static const Mode fallback;

    /// Parses "inference", "training|torch-compile", …; the empty text is fallback. Throws Error(usage) for
    /// unknown words and for what operator| refuses.
    static Mode parse(std::string_view text);
    /// "inference", "training|torch-compile", …; what parse() reads.
    std::string to_string() const;

    /// Throws Error(usage) for inference with training, and for fallback with anything but itself.
    friend Mode operator|(Mode left, Mode right);
    /// Throws as operator| does.
    Mode& operator|=(Mode other) { return *this = *this | other; }

    /// Which flags are set; fallback is never one of several.
    bool is_inference() const noexcept { return (m_flags & inference_flag) != 0; }
    bool is_training() const noexcept { return (m_flags & training_flag) != 0; }
    bool is_torch_compile() const noexcept { return (m_flags & compile_flag) != 0; }
    bool is_fallback() const noexcept { return m_flags == fallback_flag; }
    /// Whether all flags of `other` are set.
    bool contains(Mode other) const noexcept { return (m_flags & other.m_flags) == other.m_flags; }

    /// Throws Error(usage) unless a model can be kernelized for this mode: it must hold inference or
    /// training.
    void require_use() const;
    /// Throws Error(usage) unless a mapping can hold a repository for this mode: all but torch_compile alone.
    void require_mappable() const;

    /// The modes that a mapping is searched for when a model is kernelized for this mode, best first. Throws
    /// what require_use does.
    std::vector<Mode> candidates() const;

    friend bool operator==(Mode, Mode) = default;
    friend auto operator<=>(Mode, Mode) = default;
    friend struct std::hash<Mode>;

  private:
    static constexpr unsigned fallback_flag = 1;
    static constexpr unsigned training_flag = 2;
    static constexpr unsigned inference_flag = 4;
    static constexpr unsigned compile_flag = 8;
    explicit constexpr Mode(unsigned flags) : m_flags(flags) {}
    unsigned m_flags;
};

inline constexpr Mode Mode::inference{Mode::inference_flag};
inline constexpr Mode Mode::training{Mode::training_flag};
inline constexpr Mode Mode::torch_compile{Mode::compile_flag};
inline constexpr Mode Mode::fallback{Mode::fallback_flag};

}  // namespace kernels::layer

template <>
struct std::hash<kernels::layer::Mode> {
    std::size_t operator()(kernels::layer::Mode mode) const noexcept { return mode.m_flags; }
};
