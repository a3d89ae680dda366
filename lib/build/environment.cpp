#include "kernels/build/environment.hpp"

#include <dlfcn.h>
#include <sys/utsname.h>

#include <cctype>
#include <regex>

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"

namespace kernels::build {
namespace {

namespace fs = std::filesystem;

// The value that a line `name = 'x'` or `name: Optional[str] = 'x'` of torch/version.py gives.
std::optional<std::string> assigned(const std::string& text, const std::string& name) {
    const std::regex line("(^|\n)" + name + R"(\s*(?::[^=\n]*)?=\s*['"]([^'"\n]*)['"])");
    std::smatch match;
    if (!std::regex_search(text, match, line)) return std::nullopt;
    return match[2].str();
}

bool contains(const fs::path& file, std::string_view needle) {
    const auto text = read_file_if_exists(file);
    return text && text->find(needle) != std::string::npos;
}

// An entry of `folder` whose name starts with `prefix`.
std::optional<fs::path> entry_with_prefix(const fs::path& folder, std::string_view prefix) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
        if (entry.path().filename().string().starts_with(prefix)) return entry.path();
    }
    return std::nullopt;
}

Backend versioned(BackendKind kind, std::string_view version) {
    return {kind, Version::parse(version)};
}

// The backend that a torch with these version.py values and neighbours computes on; the order is the Python
// client's.
Backend backend_of(const fs::path& torch, const std::string& version_py) {
    const fs::path packages = torch.parent_path();
    const bool in_python = packages.filename() == "site-packages" || packages.filename() == "dist-packages";
    if (in_python && fs::exists(packages / "torch_tpu")) return {BackendKind::tpu, {}};
    if (in_python && fs::exists(packages / "torch_neuronx")) return {BackendKind::neuron, {}};
    if (const auto cuda = assigned(version_py, "cuda")) return versioned(BackendKind::cuda, *cuda);
    if (const auto hip = assigned(version_py, "hip")) return versioned(BackendKind::rocm, *hip);
    if (const auto xpu = assigned(version_py, "xpu"); xpu && xpu->size() >= 6) {
        // "20250200" is 2025.2
        return versioned(BackendKind::xpu, xpu->substr(0, 4) + "." + xpu->substr(5, 1));
    }
    if (in_python && fs::exists(packages / "torch_npu")) {
        for (const char* file :
             {"/usr/local/Ascend/ascend-toolkit/latest/version.cfg", "/usr/local/Ascend/cann/version.cfg"}) {
            const auto text = read_file_if_exists(file);
            std::smatch match;
            if (text && std::regex_search(*text, match, std::regex(R"((\d+\.\d+)\.)"))) {
                return versioned(BackendKind::cann, match[1].str());
            }
        }
    }
#ifdef __APPLE__
    return {BackendKind::metal, {}};
#else
    return {BackendKind::cpu, {}};
#endif
}

// A libtorch without Python has no version.py; its build-version ends in "+cu128", "+rocm6.4", "+xpu" or
// "+cpu".
Backend backend_of_local_version(const std::string& version) {
    const auto plus = version.find('+');
    const std::string tag = plus == std::string::npos ? "" : version.substr(plus + 1);
    if (const auto backend = Backend::parse(tag)) return *backend;
    if (tag.starts_with("rocm")) return versioned(BackendKind::rocm, tag.substr(4));
    return {BackendKind::cpu, {}};
}

std::optional<TorchInstallation> torch_below(const fs::path& place) {
    std::error_code error;
    if (auto found = read_torch(place)) return found;
    if (auto found = read_torch(place / "torch")) return found;
    for (const char* lib : {"lib", "lib64"}) {
        for (const auto& entry : fs::directory_iterator(place / lib, error)) {
            if (!entry.path().filename().string().starts_with("python3")) continue;
            for (const char* packages : {"site-packages", "dist-packages"}) {
                if (auto found = read_torch(entry.path() / packages / "torch")) return found;
            }
        }
    }
    return std::nullopt;
}

// The prefixes whose site-packages `python3` on PATH would use, found without running it.
std::vector<fs::path> python_prefixes() {
    std::vector<fs::path> prefixes;
    std::error_code error;
    for (const auto folder : split(environment_variable("PATH").value_or(""), ':')) {
        const fs::path python = fs::path(folder) / "python3";
        if (folder.empty() || !fs::exists(python, error)) continue;
        if (fs::exists(fs::path(folder).parent_path() / "pyvenv.cfg", error)) {
            prefixes.push_back(fs::path(folder).parent_path());
            break;
        }
        if (fs::path(folder).filename() == "shims") {
            // pyenv: the shim is a script; the version file of the pyenv root names the real prefix.
            const fs::path root = fs::path(folder).parent_path();
            auto version = environment_variable("PYENV_VERSION");
            if (!version) version = read_file_if_exists(root / "version");
            if (version) {
                prefixes.push_back(root / "versions" /
                                   std::string(trimmed(split(trimmed(*version), '\n').front())));
                break;
            }
            continue;
        }
        const fs::path real = fs::canonical(python, error);
        if (!error) prefixes.push_back(real.parent_path().parent_path());
        prefixes.push_back(fs::path(folder).parent_path());
        if (fs::path(folder).parent_path() == "/usr") prefixes.emplace_back("/usr/local");
        break;
    }
    return prefixes;
}

std::optional<TorchInstallation> explicit_torch(const std::string& text, const std::string& origin) {
    if (!text.empty() && std::isdigit(static_cast<unsigned char>(text.front())) != 0 && !fs::exists(text)) {
        TorchInstallation torch;
        Version::parse(text);
        torch.version = text;
        torch.backend = backend_of_local_version(text);
        torch.origin = origin;
        return torch;
    }
    auto torch = torch_below(expand_user(text));
    if (!torch) {
        throw Error(ErrorCode::usage, origin + " " + backquoted(text) + ": no torch there",
                    "name a libtorch folder, a Python environment with torch, or a version such as 2.13");
    }
    torch->origin = origin;
    return torch;
}

std::optional<TorchInstallation> find_torch(const DetectOptions& options) {
    if (options.torch) return explicit_torch(*options.torch, "--torch");
    if (const auto named = environment_variable("KERNELS_TORCH"))
        return explicit_torch(*named, "KERNELS_TORCH");
    const auto with_origin = [](std::optional<TorchInstallation> torch, const char* origin) {
        if (torch) torch->origin = origin;
        return torch;
    };
    for (const char* variable : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
        if (const auto prefix = environment_variable(variable)) {
            if (auto torch = with_origin(torch_below(*prefix), variable)) return torch;
        }
    }
    if (auto torch = with_origin(torch_below(options.project / ".venv"), ".venv of the project"))
        return torch;
    for (const auto& prefix : python_prefixes()) {
        if (auto torch = with_origin(torch_below(prefix), "python3 on PATH")) return torch;
    }
    const std::string prefix_path = environment_variable("CMAKE_PREFIX_PATH").value_or("");
    for (const auto prefix : split(prefix_path, ':')) {
        if (prefix.empty()) continue;
        if (auto torch = with_origin(torch_below(prefix), "CMAKE_PREFIX_PATH")) return torch;
    }
    return with_origin(read_torch("/usr"), "/usr");
}

// The version of a CUDA runtime library without torch, by the library's own word.
std::optional<Version> cuda_runtime() {
    for (const char* name : {"libcudart.so", "libcudart.so.13", "libcudart.so.12"}) {
        void* library = ::dlopen(name, RTLD_LAZY | RTLD_LOCAL);
        if (library == nullptr) continue;
        using Query = int (*)(int*);
        const auto query = reinterpret_cast<Query>(::dlsym(library, "cudaRuntimeGetVersion"));
        int version = 0;
        const bool known = query != nullptr && query(&version) == 0;
        ::dlclose(library);
        if (known) return Version{version / 1000, version % 1000 / 10};
    }
    return std::nullopt;
}

// The compute capability of the first GPU, asked of the CUDA driver.
std::optional<int> cuda_capability() {
    void* driver = ::dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (driver == nullptr) return std::nullopt;
    const auto init = reinterpret_cast<int (*)(unsigned)>(::dlsym(driver, "cuInit"));
    const auto attribute = reinterpret_cast<int (*)(int*, int, int)>(::dlsym(driver, "cuDeviceGetAttribute"));
    constexpr int major_attribute = 75;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    constexpr int minor_attribute = 76;
    int major = 0;
    int minor = 0;
    // The driver stays loaded: unloading it after cuInit is not supported.
    if (init == nullptr || attribute == nullptr || init(0) != 0 ||
        attribute(&major, major_attribute, 0) != 0 || attribute(&minor, minor_attribute, 0) != 0) {
        return std::nullopt;
    }
    return major * 10 + minor;
}

}  // namespace

std::optional<TorchInstallation> read_torch(const fs::path& folder) {
    std::error_code error;
    if (folder.empty() || !fs::exists(folder / "lib", error)) return std::nullopt;
    TorchInstallation torch;
    torch.folder = fs::weakly_canonical(folder, error);
    if (const auto text = read_file_if_exists(folder / "version.py")) {
        const auto version = assigned(*text, "__version__");
        if (!version) return std::nullopt;
        torch.version = *version;
        torch.backend = backend_of(torch.folder, *text);
    } else if (const auto build_version = read_file_if_exists(folder / "build-version")) {
        torch.version = trimmed(*build_version);
        torch.backend = backend_of_local_version(torch.version);
    } else {
        return std::nullopt;
    }
    // The wheels' TorchConfig.cmake states the ABI; torch has been built with the C++11 ABI only since 2.6.
    for (const char* config : {"share/cmake/Torch/TorchConfig.cmake"}) {
        if (contains(folder / config, "_GLIBCXX_USE_CXX11_ABI=0")) torch.cxx11_abi = false;
    }
    return torch;
}

Environment detect(const DetectOptions& options) {
    Environment environment;
    Target& target = environment.target;
    utsname system{};
    if (::uname(&system) == 0) {
        target.cpu = std::string_view(system.machine) == "arm64" ? "aarch64" : system.machine;
        target.os = lower(system.sysname);
        environment.facts.push_back({"cpu", target.cpu, "uname"});
        environment.facts.push_back({"os", target.os, "uname"});
    }
    environment.torch = find_torch(options);
    if (const auto& torch = environment.torch) {
        const std::string origin =
            torch->origin + (torch->folder.empty() ? std::string() : " (" + torch->folder.string() + ")");
        target.torch = Version::parse(torch->version);
        target.backend = torch->backend;
        if (target.os == "linux") target.cxx11_abi = torch->cxx11_abi;
        environment.facts.push_back({"torch", torch->version, origin});
        environment.facts.push_back({"backend", torch->backend.to_string(), origin});
        if (target.cxx11_abi)
            environment.facts.push_back({"cxx11-abi", *target.cxx11_abi ? "true" : "false", origin});
        if (const auto info = entry_with_prefix(torch->folder.parent_path(), "apache_tvm_ffi-")) {
            const std::string name = info->filename().string();
            target.tvm_ffi = Version::parse(name.substr(name.find('-') + 1));
            environment.facts.push_back({"tvm-ffi", target.tvm_ffi->to_string(), info->string()});
        }
    } else if (const auto cuda = cuda_runtime()) {
        target.backend = {BackendKind::cuda, *cuda};
        environment.facts.push_back({"backend", target.backend.to_string(), "the CUDA runtime library"});
    } else {
        environment.facts.push_back({"backend", "cpu", "no torch and no CUDA runtime found"});
    }
    if (target.backend.kind == BackendKind::cuda) {
        target.capability = cuda_capability();
        if (target.capability) {
            environment.facts.push_back(
                {"capability", std::to_string(*target.capability), "the CUDA driver"});
        }
    }
    return environment;
}

}  // namespace kernels::build
