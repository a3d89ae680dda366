// What this process can run: the devices of its torch, and the platform it was built for.
#include <ATen/Context.h>
#include <c10/core/DeviceType.h>
#include <torch/version.h>

#include <algorithm>
#include <array>

#include "kernels/core/text.hpp"
#include "kernels/runtime/runtime.hpp"

namespace kernels::runtime {
namespace {

#if defined(__x86_64__)
constexpr const char* own_cpu = "x86_64";
#elif defined(__aarch64__)
constexpr const char* own_cpu = "aarch64";
#else
constexpr const char* own_cpu = "";
#endif
#if defined(__APPLE__)
constexpr const char* own_os = "darwin";
#else
constexpr const char* own_os = "linux";
#endif

bool has_device(const std::string& device) {
    if (device == "cpu") return true;
    // A torch for ROCm offers its devices as CUDA devices.
    if (device == "cuda") return at::hasCUDA() && !at::Context::hasROCM();
    if (device == "rocm") return at::hasCUDA() && at::Context::hasROCM();
    if (device == "xpu") return at::hasXPU();
    if (device == "mps") return at::hasMPS();
    return c10::is_privateuse1_backend_registered() && c10::get_privateuse1_backend() == device;
}

// "2.13" of the digits "213".
std::string dotted(std::string_view digits) {
    return std::string(digits.substr(0, 1)) + "." + std::string(digits.substr(1));
}

}  // namespace

std::string cannot_run(const std::string& device, const std::string& variant) {
    const std::string version =
        std::to_string(TORCH_VERSION_MAJOR) + "." + std::to_string(TORCH_VERSION_MINOR);
    const auto parts = split(variant, '-');
    constexpr std::array systems = {"linux", "darwin", "windows"};
    const bool is_platform =
        parts.size() > 3 && std::find(systems.begin(), systems.end(), parts.back()) != systems.end();
    if (is_platform) {
        const std::string_view cpu = parts[parts.size() - 2];
        if (cpu != own_cpu || parts.back() != own_os) {
            return "the build is for " + std::string(cpu) + " and " + std::string(parts.back()) +
                   ", this is " + own_cpu + " and " + own_os;
        }
        constexpr std::string_view prefix = "torch";
        const auto digits =
            parts[0].starts_with(prefix) ? parts[0].substr(prefix.size()) : std::string_view();
        if (digits.size() >= 2 && dotted(digits) != version)
            return "the build is for torch " + dotted(digits) + ", here is torch " + version;
    }
    if (!has_device(device)) return "torch " TORCH_VERSION " finds no " + device + " device here";
    return {};
}

}  // namespace kernels::runtime
