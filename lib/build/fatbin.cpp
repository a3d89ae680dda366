#include "kernels/build/fatbin.hpp"

#include <algorithm>
#include <cctype>
#include <functional>
#include <set>
#include <utility>

#include "build/elf_sections.hpp"
#include "build/hip_bundle.hpp"
#include "build/little_endian.hpp"
#include "build/mapped_file.hpp"
#include "kernels/core/error.hpp"

namespace kernels::build {
namespace {

// The container that nvcc writes; no public description exists. Checked against cuobjdump on libraries made
// by CUDA 13.0.
constexpr std::uint32_t image_magic = 0xBA55ED50;
constexpr std::size_t image_header = 16;  // u32 magic, u16 version, u16 header size, u64 size of what follows
constexpr std::size_t entry_header = 64;  // u16 kind, u16, u32 header size, u64 payload size, ...
constexpr std::uint16_t kind_ptx = 1;
constexpr std::uint16_t kind_machine_code = 2;
constexpr std::uint64_t flag_this_capability_only = 0x100000;  // sm_90a
constexpr std::uint64_t flag_family = 0x200000;                // sm_100f
constexpr std::uint64_t compressed_flags = 0x2000 | 0x8000;    // LZ4, zstd
constexpr int greatest_capability = 999;

using CudaUnit = std::set<CudaCode>;

struct Collected {
    CudaUnit cuda;
    HipUnit gfx;
    std::set<CudaUnit> cuda_units;  // those with kernels
    std::set<HipUnit> hip_units;
    std::set<std::string> problems;

    DeviceCode result() const {
        DeviceCode out{
            {cuda.begin(), cuda.end()}, {gfx.begin(), gfx.end()}, {problems.begin(), problems.end()}};
        for (const auto& unit : cuda_units)
            out.units.push_back({{unit.begin(), unit.end()}, {}, {}});
        for (const auto& unit : hip_units)
            out.units.push_back({{}, {unit.begin(), unit.end()}, {}});
        return out;
    }
};

// What the header of a cubin, which is an ELF file of its own, says. The older ABI of machine code (7) has
// the capability and the mark of sm_90a in other bits than today's (8), which has that mark in a section.
struct CubinHeader {
    static constexpr std::uint16_t machine = 190;  // EM_CUDA

    explicit CubinHeader(std::string_view cubin) {
        constexpr std::size_t abi_version_at = 8;
        constexpr std::size_t flags_at = 48;
        constexpr std::uint32_t accelerated = 0x800;
        const auto flags = little_endian<std::uint32_t>(cubin, flags_at);
        if (!flags || !cubin.starts_with("\x7f"
                                         "ELF"))
            return;
        const bool old_abi = cubin[abi_version_at] == 7;
        capability = static_cast<int>(old_abi ? *flags & 0xffU : *flags >> 8U & 0xffU);
        is_exact = old_abi && (*flags & accelerated) != 0;
    }

    int capability = 0;
    bool is_exact = false;
};

// Older compilers mark sm_90a in the payload alone: in a cubin's ELF flags and in PTX's .target line.
char suffix_by_payload(std::string_view payload, bool ptx) {
    if (ptx) {
        const auto at = payload.find(".target sm_");
        if (at == std::string_view::npos) return '\0';
        auto rest = payload.substr(at + 11);
        while (!rest.empty() && std::isdigit(static_cast<unsigned char>(rest.front())) != 0)
            rest.remove_prefix(1);
        return rest.starts_with('a') || rest.starts_with('f') ? rest.front() : '\0';
    }
    return CubinHeader(payload).is_exact ? 'a' : '\0';
}

// What the section .nv.compat of a cubin says: records of a form, an attribute and a value of two bytes,
// which is the size of what follows where the form is 4.
bool is_exact_target(std::string_view records) {
    constexpr std::uint8_t accelerator_target = 9;
    for (std::size_t at = 0; at + 4 <= records.size(); at += 4) {
        const auto form = *little_endian<std::uint8_t>(records, at);
        const auto value = *little_endian<std::uint16_t>(records, at + 2);
        if (form == 4) {
            at += value;
        } else if (*little_endian<std::uint8_t>(records, at + 1) == accelerator_target) {
            return (value & 0xffU) == 1;
        }
    }
    return false;
}

// A cubin by itself, as `nvcc -cubin` makes it.
void read_cubin(std::string_view file, const ElfSections& sections, Collected& out) {
    const CubinHeader header(file);
    if (header.capability < 10) {
        out.problems.insert("a cubin is for an impossible capability");
        return;
    }
    CudaCode code;
    code.capability = header.capability;
    if (header.is_exact) code.suffix = 'a';
    for (const auto& section : sections.sections) {
        if (section.name != ".nv.compat") continue;
        if (is_exact_target(section.bytes)) code.suffix = 'a';
        break;  // a cubin has one
    }
    out.cuda_units.insert({code});
    out.cuda.insert(std::move(code));
}

// Of machine code that was left as it is, as the compiler leaves what is small. What nvcc makes of host code
// alone, and adds when it links, has cubins too.
bool holds_no_kernel(std::string_view cubin) {
    try {
        const auto found = elf_sections(cubin, {});
        return found.machine == CubinHeader::machine && found.problems.empty() &&
               std::none_of(found.sections.begin(), found.sections.end(),
                            [](const auto& section) { return section.name.starts_with(".text."); });
    } catch (const Error&) {
        return false;  // compressed, or not for us to read
    }
}

// Adds to what the unit holds; whether it can have kernels.
bool read_entry(std::string_view header, std::string_view payload, CudaUnit& unit, Collected& out) {
    const auto kind = little_endian<std::uint16_t>(header, 0).value_or(0);
    if (kind != kind_ptx && kind != kind_machine_code) return true;
    const auto minor = little_endian<std::uint16_t>(header, 24).value_or(0);
    const auto major = little_endian<std::uint16_t>(header, 26).value_or(0);
    const auto capability = little_endian<std::uint32_t>(header, 28).value_or(0);
    const auto flags = little_endian<std::uint64_t>(header, 40).value_or(0);
    if (capability < 10 || capability > greatest_capability) {
        out.problems.insert("a CUDA fat binary holds code for an impossible capability");
        return true;
    }
    CudaCode code;
    code.capability = static_cast<int>(capability);
    code.ptx = kind == kind_ptx;
    if (code.ptx) code.ptx_version = std::to_string(major) + "." + std::to_string(minor);
    if ((flags & flag_this_capability_only) != 0) {
        code.suffix = 'a';
    } else if ((flags & flag_family) != 0) {
        code.suffix = 'f';
    } else if ((flags & compressed_flags) == 0) {
        code.suffix = suffix_by_payload(payload, code.ptx);
    }
    const bool has_kernels = code.ptx || !holds_no_kernel(payload);
    unit.insert(std::move(code));
    return has_kernels;
}

// One image, that of a translation unit: the entries between its header and its end.
void read_image(std::string_view entries, Collected& out) {
    CudaUnit unit;
    bool has_kernels = true;
    while (!entries.empty()) {
        const auto header_size = little_endian<std::uint32_t>(entries, 4);
        const auto size = little_endian<std::uint64_t>(entries, 8);
        if (!header_size || !size || *header_size < entry_header || *header_size > entries.size() ||
            *size > entries.size() - *header_size) {
            out.problems.insert("a CUDA fat binary ends inside an entry");
            break;
        }
        // Its source is one, so what has none for one device has none for another.
        has_kernels &=
            read_entry(entries.substr(0, *header_size), entries.substr(*header_size, *size), unit, out);
        entries.remove_prefix(*header_size + *size);
    }
    out.cuda.insert(unit.begin(), unit.end());
    if (has_kernels && !unit.empty()) out.cuda_units.insert(std::move(unit));
}

// A section holds one image for each translation unit, with padding between them.
void read_cuda_section(std::string_view section, Collected& out) {
    constexpr std::string_view magic("\x50\xED\x55\xBA", 4);
    for (auto at = section.find(magic); at != std::string_view::npos; at = section.find(magic, at)) {
        const auto image = section.substr(at);
        const auto header_size = little_endian<std::uint16_t>(image, 6);
        const auto size = little_endian<std::uint64_t>(image, 8);
        if (!header_size || !size || *header_size < image_header || *header_size > image.size() ||
            *size > image.size() - *header_size) {
            out.problems.insert("a CUDA fat binary is larger than its section");
            at += magic.size();
            continue;
        }
        read_image(image.substr(*header_size, *size), out);
        at += *header_size + *size;
    }
}

// libk.so, and libk.so.1 that others of a build are linked with.
bool is_library(const std::filesystem::path& path) {
    const std::string name = path.filename().string();
    if (name.ends_with(".so")) return true;
    const auto at = name.rfind(".so.");
    return at != std::string::npos && name.find_first_not_of("0123456789.", at + 4) == std::string::npos;
}

}  // namespace

std::string CudaCode::to_string() const {
    std::string out = (ptx ? "compute_" : "sm_") + std::to_string(capability);
    if (suffix != '\0') out += suffix;
    return out;
}

DeviceCode device_code(std::string_view library, const std::string& origin) {
    Collected found;
    if (little_endian<std::uint32_t>(library, 0) == image_magic) {  // as `nvcc -fatbin` makes it
        read_cuda_section(library, found);
        return found.result();
    }
    const auto sections = elf_sections(library, origin);
    if (sections.machine == CubinHeader::machine) read_cubin(library, sections, found);
    // No byte is read twice: a table can name the same ones as often as it has room.
    auto in_order = sections.sections;
    std::stable_sort(in_order.begin(), in_order.end(), [](const auto& a, const auto& b) {
        return std::less<>()(a.bytes.data(), b.bytes.data());
    });
    const char* read_to = library.data();
    for (const auto& section : in_order) {
        const bool is_cuda = section.name == ".nv_fatbin" || section.name == "__nv_relfatbin";
        const bool is_hip = section.name == ".hip_fatbin";
        if ((!is_cuda && !is_hip) || section.bytes.empty()) continue;
        if (std::less<>()(section.bytes.data(), read_to)) {
            found.problems.insert("sections with device code overlap");
            continue;
        }
        read_to = section.bytes.data() + section.bytes.size();
        if (is_cuda) {
            read_cuda_section(section.bytes, found);
        } else {
            read_hip_section(section.bytes, found.hip_units, found.problems);
        }
    }
    for (const auto& unit : found.hip_units)
        found.gfx.insert(unit.begin(), unit.end());
    for (const auto& problem : sections.problems)
        found.problems.insert(problem);
    return found.result();
}

DeviceCode read_device_code(const std::filesystem::path& library) {
    const MappedFile file(library);
    return device_code(file.bytes(), library.string());
}

std::vector<LibraryCode> read_build_code(const std::filesystem::path& build_folder) {
    namespace fs = std::filesystem;
    std::error_code error;
    std::vector<fs::path> paths;
    fs::recursive_directory_iterator entries(build_folder, error);
    if (error) throw Error(ErrorCode::failed, build_folder.string() + ": cannot list it: " + error.message());
    for (; entries != fs::recursive_directory_iterator(); entries.increment(error)) {
        // A cache holds links to its blobs; what they lead to counts.
        std::error_code ignored;
        if (is_library(entries->path()) && fs::is_regular_file(entries->path(), ignored))
            paths.push_back(entries->path());
    }
    if (error) throw Error(ErrorCode::failed, build_folder.string() + ": cannot list it: " + error.message());
    std::sort(paths.begin(), paths.end());
    std::vector<LibraryCode> out;
    std::set<fs::path> read;  // libk.so may be a link to libk.so.1
    for (const auto& path : paths) {
        auto file = fs::canonical(path, error);
        if (!error && !read.insert(std::move(file)).second) continue;
        LibraryCode library{path.lexically_relative(build_folder).generic_string(), {}};
        try {
            library.code = read_device_code(path);
        } catch (const Error& failure) {
            library.code.problems.emplace_back(failure.what());
        }
        out.push_back(std::move(library));
    }
    return out;
}

DeviceCode merged(const std::vector<LibraryCode>& libraries) {
    Collected all;
    for (const auto& [path, code] : libraries) {
        all.cuda.insert(code.cuda.begin(), code.cuda.end());
        all.gfx.insert(code.gfx.begin(), code.gfx.end());
        for (const auto& problem : code.problems)
            all.problems.insert(path + ": " + problem);
    }
    return all.result();
}

std::vector<std::string> arch_names(const DeviceCode& code) {
    std::vector<std::string> out;
    for (const auto& cuda : code.cuda) {
        std::string name = std::to_string(cuda.capability / 10) + "." + std::to_string(cuda.capability % 10);
        if (cuda.suffix != '\0') name += cuda.suffix;
        out.push_back(name + (cuda.ptx ? "+PTX" : ""));
    }
    for (const auto& gfx : code.gfx)
        out.push_back(gfx.substr(0, gfx.find(':')));
    // Two PTX versions, or two sets of feature flags, are one arch.
    std::vector<std::string> unique;
    for (auto& name : out) {
        if (std::find(unique.begin(), unique.end(), name) == unique.end()) unique.push_back(std::move(name));
    }
    return unique;
}

std::vector<std::string> code_names(const DeviceCode& code) {
    std::vector<std::string> out;
    for (const auto& cuda : code.cuda)
        out.push_back(cuda.to_string() + (cuda.ptx ? " (PTX " + cuda.ptx_version + ")" : ""));
    out.insert(out.end(), code.gfx.begin(), code.gfx.end());
    return out;
}

}  // namespace kernels::build
