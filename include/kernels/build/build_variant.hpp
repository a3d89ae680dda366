// Names of builds: what a folder below `build/` of a kernel repository says about framework, backend and
// platform.
#pragma once

#include <compare>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/version.hpp"

namespace kernels::build {

enum class BackendKind { cpu, cuda, rocm, xpu, cann, metal, neuron, tpu };

/// A compute backend, with its version where the backend has one (CUDA, ROCm, XPU, CANN).
struct Backend {
    BackendKind kind = BackendKind::cpu;
    Version version;

    /// Parses the form used in build variants: `cpu`, `cu128` (12.8), `rocm64`, `xpu20252` (2025.2),
    /// `cann83`, `metal`, `neuron`, `tpu`; the last digit is the minor version. Nothing for any other text.
    static std::optional<Backend> parse(std::string_view text);
    /// The same form back.
    std::string to_string() const;
    /// "cuda", "rocm", "cpu", ...
    std::string_view name() const noexcept;
    bool is_versioned() const noexcept;

    friend auto operator<=>(const Backend&, const Backend&) = default;
};

/// What the build links against.
enum class FrameworkKind { torch, torch_stable_abi, tvm_ffi, torch_noarch };

/// The name of a build. An arch build is `<framework>-<backend>-<cpu>-<os>`, for example
/// `torch213-cxx11-cu128-x86_64-linux`; a noarch build is `torch-<backend name>`, for example `torch-cuda` or
/// `torch-universal`. Only names that parse exist; to_string() gives the parsed text.
class BuildVariant {
  public:
    /// Throws Error(usage) when `name` is none.
    static BuildVariant parse(std::string_view name);
    static std::optional<BuildVariant> try_parse(std::string_view name);

    const std::string& to_string() const noexcept { return m_name; }
    bool is_noarch() const noexcept { return m_framework == FrameworkKind::torch_noarch; }
    FrameworkKind framework() const noexcept { return m_framework; }
    /// Version of torch, of torch's stable ABI or of tvm-ffi; 0.0 for noarch builds.
    Version framework_version() const noexcept { return m_framework_version; }
    /// The C++11 ABI tag of a torch build, when it has one.
    std::optional<bool> cxx11_abi() const noexcept { return m_cxx11_abi; }
    /// The backend of an arch build.
    const Backend& backend() const noexcept { return m_backend; }
    /// "cuda", "npu", "universal", ... : the backend's name, for noarch builds what stands behind `torch-`.
    std::string backend_name() const;
    const std::string& cpu() const noexcept { return m_cpu; }
    const std::string& os() const noexcept { return m_os; }

    friend bool operator==(const BuildVariant& a, const BuildVariant& b) { return a.m_name == b.m_name; }
    friend auto operator<=>(const BuildVariant& a, const BuildVariant& b) { return a.m_name <=> b.m_name; }

  private:
    BuildVariant() = default;
    std::string m_name;
    FrameworkKind m_framework = FrameworkKind::torch_noarch;
    Version m_framework_version;
    std::optional<bool> m_cxx11_abi;
    Backend m_backend;
    std::string m_noarch_backend;
    std::string m_cpu;
    std::string m_os;
};

/// The builds that have a folder in `folder` (a kernel's `build`), by name; none where it cannot be read.
std::vector<BuildVariant> variants_in(const std::filesystem::path& folder);

}  // namespace kernels::build
