// torch/version.py, which a torch for Python describes itself with.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/build/build_variant.hpp"
#include "kernels/core/error.hpp"

namespace kernels::build {

/// The texts that torch/version.py assigns, read without Python. What is damaged is an error, as importing it
/// would be: taken for a torch without CUDA it would make everybody choose builds for the CPU.
class VersionFile {
  public:
    /// Throws Error(failed) where the file cannot be read.
    explicit VersionFile(std::filesystem::path file);

    /// "2.13.0+cu128". Throws Error(failed) where there is none.
    std::string version() const;
    /// What the torch was made for: CUDA, ROCm or XPU; nothing where it was made for none of them. Throws
    /// Error(failed) for what is neither None nor a version, and where the file ends before it tells.
    std::optional<Backend> backend() const;
    /// The error of a torch with this file: "file: why".
    static Error damaged(const std::filesystem::path& file, const std::string& why);

  private:
    std::optional<std::string_view> assigned(std::string_view name) const;
    std::optional<std::string> text_of(std::string_view name) const;
    std::optional<Version> version_of(std::string_view name) const;

    std::filesystem::path m_file;
    std::string m_text;
};

}  // namespace kernels::build
