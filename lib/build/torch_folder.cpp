// Reading one torch installation.
#include <array>
#include <regex>
#include <string_view>

#include "build/places.hpp"
#include "build/python_packages.hpp"
#include "build/version_file.hpp"
#include "build/version_range.hpp"
#include "kernels/build/environment.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"

namespace kernels::build {
namespace {

namespace fs = std::filesystem;

// What stands behind `#define name` in a C header.
std::optional<std::string> defined(const std::string& text, const std::string& name) {
    const std::regex line("#define[ \t]+" + name + "[ \t]+([0-9]+)");
    std::smatch match;
    if (!std::regex_search(text, match, line)) return std::nullopt;
    return match[1].str();
}

std::optional<Version> version_of(const std::string& text) {
    try {
        return Version::parse(text);
    } catch (const Error&) {
        return std::nullopt;  // a hand-made version.py; the caller has a weaker source
    }
}

struct Decided {
    Backend backend;
    std::string origin;        // empty: torch itself says it
    std::string unknown = {};  // why it is not known
};

std::optional<Backend> versioned(BackendKind kind, const std::string& version) {
    const auto parsed = version_of(version);
    return parsed ? std::optional(Backend{kind, *parsed}) : std::nullopt;
}

// The backend that a torch with this version.py and these packages computes on; the order is the Python
// client's. Extensions are known by their packages, which torch loads by itself.
Decided backend_of_python(const std::vector<fs::path>& packages, const VersionFile& version_py,
                          std::string_view os) {
    const auto made_for = version_py.backend();
    if (const auto tpu = package_in(packages, "torch_tpu")) return {{BackendKind::tpu, {}}, *tpu};
    for (const char* neuron : {"torch_neuronx", "torch_neuron"}) {
        if (const auto package = package_in(packages, neuron)) return {{BackendKind::neuron, {}}, *package};
    }
    if (made_for && made_for->kind != BackendKind::xpu) return {*made_for, {}};
    if (os == "darwin") return {{BackendKind::metal, {}}, {}};
    if (made_for) return {*made_for, {}};
    if (const auto npu = package_in(packages, "torch_npu")) {
        if (const auto cann = cann_version())
            return {{BackendKind::cann, cann->version}, *npu + ", CANN by " + cann->origin};
        return {{BackendKind::cpu, {}},
                {},
                "torch_npu is installed, but no CANN toolkit was found by ASCEND_HOME_PATH or below "
                "/usr/local/Ascend, so its version, and with it the backend, is not known"};
    }
    return {{BackendKind::cpu, {}}, {}};
}

// A libtorch without Python has no version.py: its version's tag says it, else the libraries it holds.
Decided backend_of_libtorch(const fs::path& folder, const std::string& version, std::string_view os) {
    if (const auto backend = backend_of_tag(version)) return {*backend, {}};
    for (const char* lib : {"lib", "lib64", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu"}) {
        const auto decided = [&](BackendKind kind, const std::string& library,
                                 const std::optional<StatedVersion>& stated) -> Decided {
            if (stated) return {{kind, stated->version}, stated->origin};
            return {{BackendKind::cpu, {}},
                    {},
                    "it has " + (folder / lib / library).string() + ", and nothing tells for which version"};
        };
        if (is_there(folder / lib / "libtorch_cuda.so"))
            return decided(BackendKind::cuda, "libtorch_cuda.so", cuda_runtime_version(folder / lib));
        if (is_there(folder / lib / "libtorch_hip.so"))
            return decided(BackendKind::rocm, "libtorch_hip.so", rocm_version());
        if (is_there(folder / lib / "libtorch_xpu.so"))
            return decided(BackendKind::xpu, "libtorch_xpu.so", std::nullopt);
    }
    return {{os == "darwin" ? BackendKind::metal : BackendKind::cpu, {}}, {}};
}

std::optional<std::string> version_of_headers(const fs::path& folder) {
    for (const char* header : {"include/torch/headeronly/version.h", "include/torch/version.h",
                               "include/torch/csrc/api/include/torch/version.h"}) {
        const auto text = read_file_if_exists(folder / header);
        if (!text) continue;
        const auto major = defined(*text, "TORCH_VERSION_MAJOR");
        const auto minor = defined(*text, "TORCH_VERSION_MINOR");
        const auto patch = defined(*text, "TORCH_VERSION_PATCH");
        if (major && minor) return *major + "." + *minor + "." + patch.value_or("0");
    }
    return std::nullopt;
}

bool states_old_abi(const fs::path& folder) {
    // Torch's CMake files state the ABI where it is not the compiler's default; since 2.6 it always is.
    const auto config = read_file_if_exists(folder / "share/cmake/Torch/TorchConfig.cmake");
    return config && config->find("_GLIBCXX_USE_CXX11_ABI=0") != std::string::npos;
}

}  // namespace

std::optional<Backend> backend_of_tag(const std::string& version) {
    const auto plus = version.find('+');
    if (plus == std::string::npos) return std::nullopt;
    const std::string tag = version.substr(plus + 1);
    std::optional<Backend> backend;
    if (!tag.starts_with("rocm")) {
        backend = Backend::parse(tag);
    } else if (tag.find('.') != std::string::npos) {
        backend = versioned(BackendKind::rocm, tag.substr(4));
    }
    if (!backend || backend->kind == BackendKind::cpu) return backend;
    if (backend->kind != BackendKind::cuda && backend->kind != BackendKind::rocm) return std::nullopt;
    // cu12 has lost its minor, cu1280 has a digit too many.
    return version_range(backend->name())->holds(backend->version) ? backend : std::nullopt;
}

bool is_tagged_by_commit(const std::string& version) {
    static const std::regex commit(R"((git)?[0-9a-f]{4,40}(\.[0-9a-z.]{1,20})?)");
    const auto plus = version.find('+');
    return plus != std::string::npos && std::regex_match(version.substr(plus + 1), commit);
}

std::optional<TorchInstallation> read_torch(const fs::path& folder) {
    return read_torch_on(this_system, folder);
}

std::optional<TorchInstallation> read_torch_on(std::string_view os, const fs::path& folder,
                                               std::vector<fs::path> packages) {
    if (folder.empty()) return std::nullopt;
    std::error_code error;
    TorchInstallation torch;
    torch.folder = fs::weakly_canonical(folder, error);
    if (error) return std::nullopt;  // a path that is too long, say
    // A package of another name may have such files as well.
    const bool is_package = (torch.folder.filename() == "torch" || folder.filename() == "torch") &&
                            is_there(folder / "__init__.py");
    const fs::path version_py = torch.folder / "version.py";
    Decided decided;
    // A linked torch has the packages beside the link.
    const fs::path own = folder.filename() == "torch" ? folder.parent_path() : torch.folder.parent_path();
    if (is_package) torch.packages = packages_with(own, std::move(packages));
    if (is_package && is_there(version_py)) {
        const VersionFile file(version_py);
        torch.version = file.version();
        decided = backend_of_python(torch.packages, file, os);
    } else if (const auto stated = read_file_if_exists(folder / "build-version")) {
        torch.version = trimmed(*stated);
        decided = backend_of_libtorch(torch.folder, torch.version, os);
        if (!version_of(torch.version) && is_there(folder / "share/cmake/Torch/TorchConfig.cmake")) {
            throw VersionFile::damaged(torch.folder / "build-version",
                                       "it is no version: " + backquoted(torch.version));
        }
    } else if (const auto headers = version_of_headers(folder)) {
        torch.version = *headers;
        decided = backend_of_libtorch(torch.folder, torch.version, os);
    } else if (is_package) {
        throw VersionFile::damaged(version_py, "there is no such file beside its __init__.py");
    }
    if (!version_of(torch.version)) return std::nullopt;
    torch.backend = decided.backend;
    torch.backend_origin = std::move(decided.origin);
    torch.backend_unknown = std::move(decided.unknown);
    torch.cxx11_abi = !states_old_abi(folder);
    return torch;
}

TorchInstallation torch_of_version(const std::string& version, std::string_view cpu, bool needs_backend) {
    // As torch.__version__ is, also of a nightly build: 2.13.0.dev20260901+cu128.
    const std::regex form(R"((\d{1,3}\.\d{1,3})(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?(\+.*)?)");
    std::smatch match;
    constexpr const char* examples = "for example 2.9, 2.9.1+cpu, 2.9+cu128 or 2.9+rocm6.4";
    constexpr std::size_t longest = 100;
    if (version.size() > longest || !std::regex_match(version, match, form)) {
        throw Error(ErrorCode::usage, backquoted(version) + ": no version of a torch, and no such file",
                    std::string("a version needs its minor number: ") + examples);
    }
    const std::string tag = match[7].str();
    const auto number = Version::parse(match[1].str());
    const auto* const range = version_range("torch");
    if (!range->holds(number)) {
        const auto meant = range->meant_by(number);
        throw Error(ErrorCode::usage, backquoted(version) + ": there is no such torch",
                    meant ? "did you mean " + meant->to_string() + "?" : std::string(examples));
    }
    TorchInstallation torch;
    torch.version = version;
    if (const auto backend = backend_of_tag(version)) {
        torch.backend = *backend;
    } else if (!tag.empty() && tag != "+xpu" && !is_tagged_by_commit(version)) {
        throw Error(ErrorCode::usage, backquoted(version) + ": what is behind the + names no backend",
                    examples);
    } else if (!tag.empty() && needs_backend) {
        const auto cuda = tag == "+xpu" ? std::nullopt : cuda_runtime_version();
        if (!cuda) {
            throw Error(ErrorCode::usage,
                        backquoted(version) + (tag == "+xpu" ? ": it does not say for which version of XPU"
                                                             : ": it does not say for which backend, and "
                                                               "there is no CUDA runtime library that does"),
                        "name its folder, or a target such as torch=" + match[1].str() +
                            (tag == "+xpu" ? ",xpu=2025.2" : ",cuda=12.8"));
        }
        torch.backend = {BackendKind::cuda, cuda->version};
        torch.backend_origin = "the CUDA runtime library " + cuda->origin;
    }
    torch.cxx11_abi = wheels_have_cxx11_abi(number, torch.backend, cpu);
    return torch;
}

}  // namespace kernels::build
