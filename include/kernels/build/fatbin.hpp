// The device code inside a kernel library: SM targets and PTX in CUDA fat binaries, gfx targets in HIP
// offload bundles. Read from the ELF sections alone; neither CUDA nor ROCm is needed.
#pragma once

#include <compare>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace kernels::build {

/// One kind of CUDA code in a library.
struct CudaCode {
    int capability = 0;       ///< 90 for 9.0
    char suffix = '\0';       ///< 'a': this capability only; 'f': its family; none otherwise
    bool ptx = false;         ///< PTX (compiled on the device) rather than machine code
    std::string ptx_version;  ///< the PTX language's version, "9.0"; empty for machine code

    /// "sm_90a" or "compute_90".
    std::string to_string() const;
    friend auto operator<=>(const CudaCode&, const CudaCode&) = default;
};

/// What HIP calls SPIR-V for AMD's devices: it is compiled on the device, whichever that is.
inline constexpr std::string_view spirv_arch = "amdgcnspirv";

/// What a library holds for devices; each kind once, sorted.
struct DeviceCode {
    std::vector<CudaCode> cuda;
    /// With feature flags, "gfx90a:sramecc+:xnack-"; generic processors, "gfx11-generic"; and spirv_arch.
    std::vector<std::string> gfx;
    std::vector<std::string> problems;  ///< parts that could not be read, and why
    /// What the translation units with kernels hold, a fat binary each; each kind of unit once. A library can
    /// have code without any, which nvcc makes of host code and adds when it links.
    std::vector<DeviceCode> units = {};
    bool empty() const noexcept { return cuda.empty() && gfx.empty(); }
};

/// Reads an ELF library's bytes; a cubin and a CUDA fat binary by themselves as well. Damaged parts become
/// `problems`, what could be read stays. Throws Error(failed) when `library` is none of these, an ELF file of
/// 64 bits, little-endian; `origin` names it.
DeviceCode device_code(std::string_view library, const std::string& origin);

/// The same for a file, which is mapped and not read as a whole. Throws Error(failed) also when it cannot be
/// opened.
DeviceCode read_device_code(const std::filesystem::path& library);

/// A library of a build, and what it holds.
struct LibraryCode {
    std::string path;  ///< relative to the build's folder
    DeviceCode code;
};

/// All shared libraries (`*.so`, `*.so.1`) below a build's folder, sorted by path; one that cannot be read
/// has a problem and no code. Throws Error(failed) when there is no such folder.
std::vector<LibraryCode> read_build_code(const std::filesystem::path& build_folder);

/// The code of all libraries together, without `units`, problems with the library's path. A build serves a
/// device if one of them does (see device_fit).
DeviceCode merged(const std::vector<LibraryCode>& libraries);

/// In the form that metadata uses for archs: `9.0`, `9.0a`, `10.0f`, `9.0+PTX`, `gfx90a` (feature flags
/// stripped), `gfx9-4-generic`, `amdgcnspirv`.
std::vector<std::string> arch_names(const DeviceCode& code);

/// In the compilers' words, with the version of PTX: `sm_90a`, `compute_90 (PTX 9.0)`, `gfx90a:xnack-`.
std::vector<std::string> code_names(const DeviceCode& code);

}  // namespace kernels::build
