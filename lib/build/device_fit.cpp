#include "kernels/build/device_fit.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <set>

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels::build {
namespace {

// The Python client's release whose metadata this library implements.
constexpr std::array implemented_level = {0, 17, 2};

std::optional<int> digits(std::string_view text) {
    int value = 0;
    const bool all =
        std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || !all || status != std::errc() || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

std::string capability_text(int capability) {
    return std::to_string(capability / 10) + "." + std::to_string(capability % 10);
}

DeviceFit cuda_fit(std::span<const std::string> archs, int capability) {
    bool any_known = false;
    for (const auto& text : archs) {
        const auto arch = CudaArch::parse(text);
        if (!arch) continue;
        any_known = true;
        if (arch->runs_on(capability))
            return {Fit::yes, "its code for " + text + " runs on capability " + capability_text(capability)};
    }
    const std::string list = join(archs, ", ");
    if (!any_known) return {Fit::unknown, "it states archs of an unknown form: " + list};
    return {Fit::no,
            "built for " + list + ", which does not run on capability " + capability_text(capability)};
}

// Code for a generic processor runs on these (LLVM 20's documentation of its AMDGPU backend, "Generic
// Processors"); the Python client compares names alone.
constexpr std::string_view generic_mark = "-generic";
constexpr std::array generic_processors = {
    std::pair{"gfx9-generic", "gfx900 gfx902 gfx904 gfx906 gfx909 gfx90c"},
    std::pair{"gfx9-4-generic", "gfx940 gfx941 gfx942 gfx950"},
    std::pair{"gfx10-1-generic", "gfx1010 gfx1011 gfx1012 gfx1013"},
    std::pair{"gfx10-3-generic", "gfx1030 gfx1031 gfx1032 gfx1033 gfx1034 gfx1035 gfx1036"},
    std::pair{"gfx11-generic", "gfx1100 gfx1101 gfx1102 gfx1103 gfx1150 gfx1151 gfx1152 gfx1153"},
    std::pair{"gfx12-generic", "gfx1200 gfx1201"}};

// Whether code for a generic processor runs on a device. Nothing when the processor is not in the table.
std::optional<bool> covers(std::string_view generic, std::string_view device) {
    for (const auto& [name, devices] : generic_processors) {
        if (generic != name) continue;
        const auto covered = split(devices, ' ');
        return std::find(covered.begin(), covered.end(), device) != covered.end();
    }
    return std::nullopt;
}

// HIP's rule for the feature flags behind a name: one that both state must be the same.
bool have_same_flags(std::string_view code, std::string_view device) {
    const auto flags_of_code = split(code, ':');
    const auto flags_of_device = split(device, ':');
    return std::none_of(flags_of_code.begin() + 1, flags_of_code.end(), [&](std::string_view flag) {
        const auto opposite =
            std::string(flag.substr(0, flag.size() - 1)) + (flag.ends_with('+') ? '-' : '+');
        return std::find(flags_of_device.begin() + 1, flags_of_device.end(), opposite) !=
               flags_of_device.end();
    });
}

// Metadata states names alone, which the Python client compares as they are.
DeviceFit rocm_fit(std::span<const std::string> archs, const std::string& gpu_arch, bool of_code) {
    const std::string here = gpu_arch.substr(0, gpu_arch.find(':'));
    std::string unknown;
    for (const auto& stated : archs) {
        if (stated == spirv_arch) return {Fit::yes, "its SPIR-V is compiled on the device"};
        if (!of_code && stated.find(':') != std::string::npos) continue;
        if (!have_same_flags(stated, gpu_arch)) continue;
        const std::string arch = stated.substr(0, stated.find(':'));
        if (arch == here) return {Fit::yes, "it has code for " + here};
        if (!arch.ends_with(generic_mark)) continue;
        const auto covered = covers(arch, here);
        if (covered && *covered) return {Fit::yes, "its code for " + arch + " runs on " + here};
        if (!covered) unknown = arch;
    }
    if (!unknown.empty()) return {Fit::unknown, "which devices " + unknown + " covers is not known"};
    return {Fit::no, "built for " + join(archs, ", ") + ", the device is " + gpu_arch};
}

// Whether a dotted version is newer than what is implemented; a text that is no version is not.
bool is_newer(const std::string& version) {
    const auto parts = split(version, '.');
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const auto number = digits(parts[i]);
        const int here = i < implemented_level.size() ? implemented_level[i] : 0;
        if (!number) return false;
        if (*number != here) return *number > here;
    }
    return false;
}

}  // namespace

std::optional<CudaArch> CudaArch::parse(std::string_view text) {
    constexpr std::string_view ptx_mark = "+PTX";
    CudaArch arch;
    if (text.ends_with(ptx_mark)) {
        arch.ptx = true;
        text.remove_suffix(ptx_mark.size());
    }
    if (text.ends_with('a') || text.ends_with('f')) {
        arch.suffix = text.back();
        text.remove_suffix(1);
    }
    const auto dot = text.find('.');
    if (dot == std::string_view::npos) return std::nullopt;
    const auto major_number = digits(text.substr(0, dot));
    const auto minor_number = digits(text.substr(dot + 1));
    if (!major_number || !minor_number) return std::nullopt;
    arch.major = *major_number;
    arch.minor = *minor_number;
    return arch;
}

bool CudaArch::runs_on(int capability) const noexcept {
    const std::pair device{capability / 10, capability % 10};
    const std::pair built{major, minor};
    if (suffix == 'a') return device == built;
    if (suffix != 'f' && ptx) return device >= built;
    // Machine code runs on the same generation from its own minor version on; so do the families of today.
    return device.first == built.first && device.second >= built.second;
}

DeviceFit device_fit(std::string_view backend_type, std::span<const std::string> archs,
                     const Target& target) {
    if (archs.empty()) return {};
    if (backend_type == "cuda" && target.backend.kind == BackendKind::cuda) {
        if (target.capability) return cuda_fit(archs, *target.capability);
        return {Fit::unknown, "built for " + join(archs, ", ") + "; the device's capability is not known"};
    }
    if (backend_type == "rocm" && target.backend.kind == BackendKind::rocm) {
        if (target.gpu_arch) return rocm_fit(archs, *target.gpu_arch, false);
        return {Fit::unknown, "built for " + join(archs, ", ") + "; the device's arch is not known"};
    }
    return {};
}

DeviceFit device_fit(const Metadata& metadata, const Target& target) {
    return device_fit(metadata.backend_type, metadata.archs, target);
}

namespace {

DeviceFit fit_as_a_whole(const DeviceCode& code, const Target& target) {
    const bool rocm = target.backend.kind == BackendKind::rocm;
    // With the flags of gfx names, which arch_names leaves out.
    const auto archs = rocm ? code.gfx : arch_names({code.cuda, {}, {}});
    auto fit = rocm && target.gpu_arch && !archs.empty() ? rocm_fit(archs, *target.gpu_arch, true)
                                                         : device_fit(target.backend.name(), archs, target);
    // A part that could not be read may hold just what the device needs.
    if (fit.fit == Fit::no && !code.problems.empty()) {
        return {Fit::unknown,
                fit.text + "; but not all of its device code could be read: " + code.problems.front()};
    }
    return fit;
}

void add_caution(std::string& caution, const std::string& text) {
    caution += (caution.empty() ? "" : "; ") + text;
}

}  // namespace

DeviceFit device_fit(const DeviceCode& code, const Target& target) {
    std::set<CudaCode> cuda;
    std::set<std::string> gfx;
    for (const auto& unit : code.units) {
        cuda.insert(unit.cuda.begin(), unit.cuda.end());
        gfx.insert(unit.gfx.begin(), unit.gfx.end());
    }
    auto fit = fit_as_a_whole({{cuda.begin(), cuda.end()}, {gfx.begin(), gfx.end()}, code.problems}, target);
    if (fit.fit != Fit::yes) return fit;
    for (const auto& unit : code.units) {
        const auto one = fit_as_a_whole(unit, target);
        if (one.fit == Fit::no) add_caution(fit.caution, "a part of it is " + one.text);
    }
    return fit;
}

DeviceFit device_fit(std::span<const LibraryCode> libraries, const Target& target) {
    DeviceFit serves;
    DeviceFit unread;
    DeviceFit refuses;
    std::string caution;
    for (const auto& [path, code] : libraries) {
        auto fit = device_fit(code, target);
        if (fit.fit == Fit::unknown && code.problems.empty()) continue;  // it has no code for such devices
        fit.text = path + ": " + fit.text;
        if (fit.fit == Fit::no) add_caution(caution, fit.text);
        if (!fit.caution.empty()) add_caution(caution, path + ": " + fit.caution);
        auto& first = fit.fit == Fit::yes ? serves : fit.fit == Fit::no ? refuses : unread;
        if (first.text.empty()) first = std::move(fit);
    }
    if (serves.fit == Fit::yes) {
        serves.caution = std::move(caution);
        return serves;
    }
    return unread.text.empty() ? refuses : unread;
}

DeviceFit device_fit(const std::optional<Metadata>& metadata, const std::filesystem::path& build_folder,
                     const Target& target) {
    auto stated = metadata ? device_fit(*metadata, target) : DeviceFit{};
    if (stated.fit == Fit::no) return stated;
    auto held = device_fit(read_build_code(build_folder), target);
    return held.fit == Fit::unknown ? stated : held;
}

bool names_device(const Target& target) {
    return target.capability.has_value() || target.gpu_arch.has_value();
}

std::vector<Remark> remarks(const Metadata& metadata) {
    std::vector<Remark> out;
    if (!metadata.python_depends.empty()) {
        out.push_back({Remark::Kind::python_depends,
                       metadata.name + ": its Python code imports " + join(metadata.python_depends, ", ")});
    }
    if (metadata.kernels_minver && is_newer(*metadata.kernels_minver)) {
        out.push_back({Remark::Kind::kernels_minver,
                       metadata.name + ": made for kernels " + *metadata.kernels_minver +
                           " or newer, newer than the 0.17.2 that this tool follows",
                       true});
    }
    if (metadata.dirty) {
        out.push_back({Remark::Kind::dirty,
                       metadata.name +
                           ": built from a source tree with uncommitted changes, so the recorded commit does "
                           "not tell what is in it",
                       true});
    }
    return out;
}

std::string_view to_string(Remark::Kind kind) noexcept {
    switch (kind) {
        case Remark::Kind::python_depends:
            return "python-depends";
        case Remark::Kind::kernels_minver:
            return "kernels-minver";
        case Remark::Kind::dirty:
            return "dirty";
    }
    return "unknown";
}

}  // namespace kernels::build
