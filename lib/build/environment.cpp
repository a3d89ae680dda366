#include "kernels/build/environment.hpp"

#include <sys/utsname.h>

#include <cctype>
#include <regex>

#include "build/places.hpp"
#include "build/python_packages.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"

namespace kernels::build {
namespace {

namespace fs = std::filesystem;

struct Found {
    std::optional<TorchInstallation> torch;
    std::vector<Place> searched;
    std::optional<Missing> failure;  // of a torch that is named, or whose files are damaged
};

bool looks_like_version(const std::string& text) {
    std::error_code error;  // for a text that is too long for a path
    return !text.empty() && std::isdigit(static_cast<unsigned char>(text.front())) != 0 &&
           text.find('/') == std::string::npos && !fs::exists(text, error);
}

TorchInstallation explicit_torch(const std::string& text, const std::string& origin, const std::string& cpu,
                                 bool needs_backend) {
    if (looks_like_version(text)) {
        try {
            auto torch = torch_of_version(text, cpu, needs_backend);
            torch.origin = origin;
            return torch;
        } catch (const Error& error) {
            throw error.reworded(origin + " " + error.what());
        }
    }
    const fs::path path = expand_user(text);
    std::error_code error;
    std::optional<TorchInstallation> torch;
    try {
        if (fs::is_directory(path, error)) torch = torch_at(path);
        if (torch) torch->origin = origin;
        const auto named = named_places(path, origin);
        for (auto place = named.begin(); !torch && place != named.end(); ++place) {
            if (place->interpreter == Place::every_python) continue;  // is named by another
            torch = torch_below(*place, named);
            if (torch) torch->origin = place->origin;
        }
    } catch (const Error& damaged) {
        throw damaged.reworded(origin + " " + backquoted(text) + ": " + damaged.what());
    }
    if (!torch) {
        throw Error(ErrorCode::usage, origin + " " + backquoted(text) + ": no torch there",
                    "name a libtorch folder, a Python environment with torch, or a version such as 2.13");
    }
    return *torch;
}

std::optional<TorchInstallation> first_torch(const std::vector<Place>& searched) {
    for (const auto& place : searched) {
        try {
            auto torch = torch_below(place, searched);
            if (!torch) continue;
            torch->origin = place.origin;
            return torch;
        } catch (const Error& error) {
            // Python would not pass it over either: the next place's is another one.
            throw error.reworded(place.origin + ": " + error.what());
        }
    }
    return std::nullopt;
}

Found find_torch(const DetectOptions& options, const std::string& cpu) {
    Found found;
    const auto from_environment = environment_variable("KERNELS_TORCH");
    try {
        if (options.torch || from_environment) {
            found.torch = explicit_torch(options.torch ? *options.torch : *from_environment,
                                         options.torch ? options.torch_origin : "KERNELS_TORCH", cpu,
                                         !options.backend_is_named);
            return found;
        }
        found.searched = places(options);
        found.torch = first_torch(found.searched);
    } catch (const Error& error) {
        if (!options.for_report) throw;
        found.failure = {error.what() + (error.hint().empty() ? "" : "; " + error.hint()), {}};
        if (!error.remedies().empty()) found.failure->remedy = error.remedies().front();
    }
    return found;
}

// tvm-ffi is another framework for kernels: installed for torch's Python, or alone.
std::optional<Fact> find_tvm_ffi(const Found& found) {
    const auto fact_of = [](const std::vector<fs::path>& packages) -> std::optional<Fact> {
        static const std::regex version(R"((\d+\.\d+).*)");
        const auto distribution = distribution_in(packages, "apache_tvm_ffi");
        std::smatch match;
        if (!distribution || !std::regex_match(distribution->version, match, version)) return std::nullopt;
        return Fact{"tvm-ffi", match[1].str(), distribution->folder.string()};
    };
    if (found.torch) return fact_of(found.torch->packages);
    for (const auto& place : found.searched) {
        if (auto fact = fact_of(search_path(place, found.searched))) return fact;
    }
    return std::nullopt;
}

std::string text_of(const TorchInstallation& torch) {
    return torch.origin + (torch.folder.empty() ? "" : " (" + torch.folder.string() + ")");
}

void detect_system(Environment& out) {
    utsname system{};
    if (::uname(&system) != 0) return;
    const std::string machine = system.machine;
    out.target.cpu = machine == "arm64" ? "aarch64" : machine;
    out.target.os = lower(system.sysname);
    out.facts.push_back({"cpu", out.target.cpu, "uname"});
    out.facts.push_back({"os", out.target.os, "uname"});
    if (out.target.os != "darwin") return;
    const char* const list = "/System/Library/CoreServices/SystemVersion.plist";
    if (const auto version = macos_version(list)) {
        out.target.macos = version;
        out.facts.push_back({"macos", version->to_string(), list});
    }
}

// An environment that was removed after it was activated, or a misspelled one.
void report_absent_environments(Environment& out, const Found& found) {
    for (const auto& [prefix, origin, python, interpreter] : found.searched) {
        std::error_code error;
        if ((origin == "VIRTUAL_ENV" || origin == "CONDA_PREFIX") && !fs::is_directory(prefix, error))
            out.missing.push_back(
                {origin + " names " + prefix.string() + ", and there is no such folder", {}});
        if (origin.ends_with(", by pyenv") && !fs::is_directory(prefix, error))
            out.missing.push_back({"the Python " + prefix.filename().string() +
                                       " that pyenv is told to use is not installed: there is no " +
                                       prefix.string(),
                                   {}});
    }
}

// Kernels for the CPU would be loaded by a torch that computes elsewhere.
void require_backend(const TorchInstallation& torch, const DetectOptions& options) {
    if (torch.backend_unknown.empty() || options.backend_is_named || options.for_report) return;
    throw Error(
        ErrorCode::usage, text_of(torch) + ": the backend is not known: " + torch.backend_unknown,
        "name it, with its version, by a target such as cuda=12.8, rocm=6.4, xpu=2025.2, cann=8.3 or cpu")
        .with_remedies({Remedy::target});
}

void detect_torch(Environment& out, const Found& found) {
    if (const auto& torch = found.torch) {
        out.torch = torch;
        out.target.torch = Version::parse(torch->version);
        out.target.backend = torch->backend;
        out.facts.push_back({"torch", torch->version, text_of(*torch)});
        if (torch->backend_unknown.empty()) {
            out.facts.push_back({"backend", torch->backend.to_string(),
                                 torch->backend_origin.empty() ? text_of(*torch) : torch->backend_origin});
        } else {
            out.facts.push_back({"backend", "not known", text_of(*torch)});
            out.missing.push_back({"the version of the backend: " + torch->backend_unknown, Remedy::target});
        }
        if (out.target.os == "linux") {
            out.target.cxx11_abi = torch->cxx11_abi;
            out.facts.push_back({"cxx11-abi", torch->cxx11_abi ? "true" : "false", text_of(*torch)});
        }
        return;
    }
    if (found.failure) {
        out.missing.push_back(*found.failure);
        return;
    }
    out.missing.push_back(
        {"no torch was found in KERNELS_TORCH, PYTHONPATH, a virtual or conda environment, .venv of the "
         "project, python3 "
         "on PATH, CMAKE_PREFIX_PATH or /usr; name one",
         Remedy::torch});
    if (const auto cuda = cuda_runtime_version()) {
        out.target.backend = {BackendKind::cuda, cuda->version};
        out.facts.push_back(
            {"backend", out.target.backend.to_string(), "the CUDA runtime library " + cuda->origin});
    } else {
        out.facts.push_back({"backend", "cpu", "no torch and no CUDA runtime found"});
    }
}

fs::path torch_folder(const Environment& environment) {
    return environment.torch ? environment.torch->folder : fs::path();
}

// A torch for the CPU alone on a machine with a GPU: why no kernel for it is chosen.
void report_unused_devices(Environment& out) {
    const auto report = [&](const char* name, const FoundDevice& device, const char* backend) {
        if (device.answer) out.facts.push_back({name, device.answer->value, device.answer->origin});
        const auto devices = device.answer ? device.answer->value : join(device.differing, ", ");
        if (devices.empty()) return;
        out.missing.push_back({std::string("a torch for ") + backend + ": there is such a GPU (" + devices +
                                   "), and builds are chosen for " + out.target.backend.to_string(),
                               Remedy::torch});
    };
    if (out.target.backend.kind != BackendKind::cuda) report("capability", cuda_capability(), "CUDA");
    if (out.target.backend.kind != BackendKind::rocm) report("arch", rocm_arch(torch_folder(out)), "ROCm");
}

void detect_device(Environment& out) {
    // Gives the device's name when one is to be taken, and says why there is none.
    const auto named = [&](const FoundDevice& device, const char* name, const char* backend,
                           const char* library) {
        if (device.answer) {
            out.facts.push_back({name, device.answer->value, device.answer->origin});
            return device.answer->value;
        }
        const std::string unchecked = std::string(", so builds are not checked against its ") + name;
        if (device.differing.empty()) {
            out.missing.push_back({std::string("no ") + backend + " device answered" + unchecked, {}});
        } else {
            const std::string cause =
                device.differing.size() > 1
                    ? std::string("the ") + backend + " devices differ"
                    : "CUDA_VISIBLE_DEVICES chooses among the " + std::string(backend) + " devices";
            out.missing.push_back({cause + " (" + name + " " + join(device.differing, ", ") +
                                       "), and which one a program uses is known to " + library +
                                       " alone, which did not answer" + unchecked,
                                   {}});
        }
        return std::string();
    };
    if (out.target.backend.kind == BackendKind::cuda) {
        const auto capability =
            named(cuda_capability(), "capability", "CUDA", "the CUDA driver's library (libcuda.so.1)");
        if (!capability.empty()) out.target.capability = std::stoi(capability);
    } else if (out.target.backend.kind == BackendKind::rocm) {
        const auto arch =
            named(rocm_arch(torch_folder(out)), "arch", "ROCm", "HIP's library (libamdhip64.so)");
        if (!arch.empty()) out.target.gpu_arch = arch;
    }
}

}  // namespace

Environment detect(const DetectOptions& options) {
    Environment environment;
    detect_system(environment);
    const auto found = find_torch(options, environment.target.cpu);
    if (options.for_report) report_absent_environments(environment, found);
    if (found.torch) require_backend(*found.torch, options);
    detect_torch(environment, found);
    if (auto tvm_ffi = find_tvm_ffi(found)) {
        environment.target.tvm_ffi = Version::parse(tvm_ffi->value);
        environment.facts.push_back(std::move(*tvm_ffi));
    }
    detect_device(environment);
    if (options.for_report) report_unused_devices(environment);
    return environment;
}

}  // namespace kernels::build
