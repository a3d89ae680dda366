// What a kernelized model is used for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kernels::layer {

/// Flags: INFERENCE and TRAINING exclude each other, either combines with TORCH_COMPILE, FALLBACK combines
/// with nothing and stands for "when no other mode matches". Only valid combinations exist.
class Mode {
  public:
    static const Mode inference;
    static const Mode training;
    static const Mode fallback;

    /// Parses "inference", "training|torch-compile", …; the empty text is fallback. Throws Error(usage).
    static Mode parse(std::string_view text);
    std::string to_string() const;

    bool is_inference() const noexcept { return (m_flags & inference_flag) != 0; }
    bool is_training() const noexcept { return (m_flags & training_flag) != 0; }
    bool is_torch_compile() const noexcept { return (m_flags & compile_flag) != 0; }
    bool is_fallback() const noexcept { return m_flags == fallback_flag; }

    /// The modes that a mapping is searched for when a model is kernelized for this mode, best first. Throws
    /// Error(usage) for fallback, which is no use of a model.
    std::vector<Mode> candidates() const;

    friend bool operator==(Mode, Mode) = default;
    friend auto operator<=>(Mode, Mode) = default;

  private:
    static constexpr unsigned inference_flag = 1;
    static constexpr unsigned training_flag = 2;
    static constexpr unsigned compile_flag = 4;
    static constexpr unsigned fallback_flag = 8;
    explicit constexpr Mode(unsigned flags) : m_flags(flags) {}
    unsigned m_flags;
};

}  // namespace kernels::layer
