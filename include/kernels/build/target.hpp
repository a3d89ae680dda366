// The machine that a kernel is chosen for.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kernels/build/build_variant.hpp"
#include "kernels/core/version.hpp"

namespace kernels::build {

/// What decides which build fits. A value of this type describes this machine (see environment.hpp) or any
/// other one (see parse).
struct Target {
    std::string cpu = "x86_64";  ///< "x86_64" or "aarch64"
    std::string os = "linux";    ///< "linux", "darwin" or "windows"
    Backend backend;
    std::optional<Version> torch;
    std::optional<bool> cxx11_abi;  ///< torch's C++11 ABI; only meaningful on Linux
    std::optional<Version> tvm_ffi;
    std::optional<Version> macos;
    std::optional<int> capability;        ///< CUDA compute capability, 90 for 9.0
    std::optional<std::string> gpu_arch;  ///< ROCm, "gfx942" or "gfx90a:xnack-"

    /// Reads `torch=2.13,cuda=12.8,cpu=x86_64,os=linux,capability=90`; the other keys are rocm, arch, xpu,
    /// cann, macos, tvm-ffi and cxx11-abi, and the words cpu, metal, neuron and tpu choose those backends.
    /// What is not given keeps the value it has in `base`; a backend that is not given is cpu, and torch on
    /// Linux means the C++ ABI of its wheels (see wheels_have_cxx11_abi). metal means os=darwin and
    /// cpu=aarch64, and so does macos without os, unless cpu is given; os=darwin alone leaves the processor
    /// as it is in `base`, as there are both. Throws Error(usage) for an unknown key (with the list of keys),
    /// a key given twice, a bad value, a version that cannot be (cuda=128.0) and pairs that cannot exist,
    /// such as cuda with os=darwin (with the list of what exists) and torch=2.13.0+cu128 with cpu.
    static Target parse(std::string_view text, const Target& base);
    static Target parse(std::string_view text) { return parse(text, Target{}); }
    /// The same form back: parse(to_string()) is the same target.
    std::string to_string() const;

    friend bool operator==(const Target&, const Target&) = default;
};

/// Why a torch of this version, in full, does not run on the target's backend: "torch 2.13+cu128 is made for
/// cuda 12.8, the target is rocm 6.4". Empty when it may, as a version without a tag always may.
std::string torch_misfit(const std::string& version, const Target& target);

/// Whether the wheels of a torch for Linux use the C++11 ABI: all from 2.7 on, none before 2.6, and of 2.6
/// those for CUDA 12.6, ROCm, XPU and aarch64.
bool wheels_have_cxx11_abi(Version torch, const Backend& backend, std::string_view cpu) noexcept;

}  // namespace kernels::build
