// Questions to the drivers' own libraries, opened only when they are there.
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <regex>
#include <set>
#include <utility>

#include "build/places.hpp"
#include "kernels/core/files.hpp"

namespace kernels::build {
namespace {

namespace fs = std::filesystem;

// A library that stays open: drivers do not support being unloaded after their start.
class Library {
  public:
    explicit Library(const std::string& name) : m_handle(::dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL)) {}
    explicit operator bool() const { return m_handle != nullptr; }
    template <typename Function>
    Function* function(const char* name) const {
        return m_handle == nullptr ? nullptr : reinterpret_cast<Function*>(::dlsym(m_handle, name));
    }

  private:
    void* m_handle;
};

// NVML answers in a few milliseconds and starts nothing on the device. Its devices are all of the machine's.
std::set<int> capabilities_by_nvml() {
    const Library nvml("libnvidia-ml.so.1");
    const auto init = nvml.function<int()>("nvmlInit_v2");
    const auto count = nvml.function<int(unsigned*)>("nvmlDeviceGetCount_v2");
    const auto device = nvml.function<int(unsigned, void**)>("nvmlDeviceGetHandleByIndex_v2");
    const auto capability = nvml.function<int(void*, int*, int*)>("nvmlDeviceGetCudaComputeCapability");
    const auto shutdown = nvml.function<int()>("nvmlShutdown");
    if (!init || !count || !device || !capability || !shutdown || init() != 0) return {};
    std::set<int> found;
    unsigned devices = 0;
    if (count(&devices) != 0) devices = 0;
    for (unsigned i = 0; i < devices; ++i) {
        void* handle = nullptr;
        int major = 0;
        int minor = 0;
        if (device(i, &handle) == 0 && capability(handle, &major, &minor) == 0)
            found.insert(major * 10 + minor);
    }
    shutdown();
    return found;
}

// The driver knows the first device that a program sees, with CUDA_VISIBLE_DEVICES and its own order.
std::optional<int> capability_by_driver() {
    const Library driver("libcuda.so.1");
    const auto init = driver.function<int(unsigned)>("cuInit");
    const auto attribute = driver.function<int(int*, int, int)>("cuDeviceGetAttribute");
    constexpr int major_attribute = 75;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    constexpr int minor_attribute = 76;
    int major = 0;
    int minor = 0;
    if (!init || !attribute || init(0) != 0 || attribute(&major, major_attribute, 0) != 0 ||
        attribute(&minor, minor_attribute, 0) != 0) {
        return std::nullopt;
    }
    return major * 10 + minor;
}

// The kernel writes 90402 for gfx942 and 90010 for gfx90a: two decimal digits each, the last two in
// hexadecimal.
std::optional<std::string> gfx_name(unsigned long target_version) {
    if (target_version == 0) return std::nullopt;  // the CPU's node
    constexpr std::string_view hexadecimal = "0123456789abcdef";
    const auto minor = target_version / 100 % 100;
    const auto stepping = target_version % 100;
    if (minor > 15 || stepping > 15) return std::nullopt;
    return "gfx" + std::to_string(target_version / 10000) + hexadecimal[minor] + hexadecimal[stepping];
}

std::set<std::string> archs_by_kernel(const fs::path& nodes) {
    std::set<std::string> found;
    std::error_code error;
    for (const auto& node : fs::directory_iterator(nodes, error)) {
        const auto text = read_file_if_exists(node.path() / "properties");
        std::smatch match;
        if (text && std::regex_search(*text, match, std::regex(R"(gfx_target_version (\d{1,9}))"))) {
            if (auto name = gfx_name(std::stoul(match[1].str()))) found.insert(std::move(*name));
        }
    }
    return found;
}

// The files in `folder` whose names begin so.
std::vector<std::string> files_named(const fs::path& folder, std::string_view start) {
    std::vector<std::string> out;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
        if (entry.path().filename().string().starts_with(start)) out.push_back(entry.path().string());
    }
    std::sort(out.begin(), out.end());  // the order of a folder is nobody's promise
    return out;
}

// The layout of HIP's properties differs between versions, so the name is looked for in them.
std::optional<std::string> arch_by_hip(const std::string& library) {
    const Library hip(library);
    auto properties = hip.function<int(void*, int)>("hipGetDevicePropertiesR0600");
    if (!properties) properties = hip.function<int(void*, int)>("hipGetDeviceProperties");
    if (!properties) return std::nullopt;
    std::array<char, 16384> buffer{};  // several times the size of any version's
    if (properties(buffer.data(), 0) != 0) return std::nullopt;
    constexpr std::string_view mark = "gfx";
    const auto at = std::search(buffer.begin(), buffer.end(), mark.begin(), mark.end());
    const auto end = std::find_if(at, buffer.end(), [](char c) { return c == '\0' || c == ':'; });
    return at == buffer.end() ? std::nullopt : std::optional(std::string(at, end));
}

}  // namespace

std::optional<StatedVersion> cuda_runtime_version(const fs::path& folder) {
    auto names = files_named(folder, "libcudart");
    for (const char* system : {"libcudart.so", "libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0"})
        names.emplace_back(system);
    for (const auto& name : names) {
        const Library library(name);
        const auto query = library.function<int(int*)>("cudaRuntimeGetVersion");
        int version = 0;
        if (!query || query(&version) != 0) continue;
        Dl_info file{};
        const bool is_known =
            ::dladdr(reinterpret_cast<void*>(query), &file) != 0 && file.dli_fname != nullptr;
        return StatedVersion{Version{version / 1000, version % 1000 / 10}, is_known ? file.dli_fname : name};
    }
    return std::nullopt;
}

FoundDevice cuda_capability() {
    const auto all = capabilities_by_nvml();
    // Set to nothing it hides all of them.
    if (all.size() == 1 && std::getenv("CUDA_VISIBLE_DEVICES") == nullptr)
        return {DeviceAnswer{std::to_string(*all.begin()), "NVML"}, {}};
    if (const auto found = capability_by_driver())
        return {DeviceAnswer{std::to_string(*found), "the CUDA driver"}, {}};
    FoundDevice device;
    for (const int capability : all)
        device.differing.push_back(std::to_string(capability));
    return device;
}

FoundDevice rocm_arch(const fs::path& torch, const fs::path& nodes) {
    const auto by_kernel = archs_by_kernel(nodes);
    if (by_kernel.size() == 1) return {DeviceAnswer{*by_kernel.begin(), "the kernel's amdkfd driver"}, {}};
    // Of a torch without a folder there is none of its own. The name without a version comes with the
    // development files alone.
    std::vector<std::string> names;
    if (!torch.empty()) names = files_named(torch / "lib", "libamdhip64.so");
    for (const char* system : {"libamdhip64.so", "libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5"})
        names.emplace_back(system);
    for (const auto& name : names) {
        if (auto arch = arch_by_hip(name)) return {DeviceAnswer{std::move(*arch), "the HIP library"}, {}};
    }
    return {{}, {by_kernel.begin(), by_kernel.end()}};
}

}  // namespace kernels::build
