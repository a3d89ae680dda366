#include "build/hip_bundle.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <optional>

#include "build/little_endian.hpp"
#include "kernels/build/fatbin.hpp"

namespace kernels::build {
namespace {

// Both forms are described in LLVM's documentation of clang-offload-bundler.
constexpr std::string_view plain_magic = "__CLANG_OFFLOAD_BUNDLE__";
constexpr std::string_view compressed_magic = "CCOB";
// The list of targets stands at the start of a bundle; more than this of it is never needed.
constexpr std::size_t list_limit = std::size_t{64} << 10U;

// The libraries are asked for at run time: only compressed HIP bundles need them.
template <typename Function>
Function loaded(const char* library, const char* name) {
    void* handle = ::dlopen(library, RTLD_LAZY | RTLD_LOCAL);  // kept: a second call finds it open
    return handle == nullptr ? nullptr : reinterpret_cast<Function>(::dlsym(handle, name));
}

std::optional<std::string> start_by_zlib(std::string_view bytes) {
    using Uncompress = int (*)(char*, unsigned long*, const char*, unsigned long);
    const auto uncompress = loaded<Uncompress>("libz.so.1", "uncompress");
    if (uncompress == nullptr) return std::nullopt;
    std::string out(list_limit, '\0');
    unsigned long size = out.size();
    constexpr int output_full = -5;  // Z_BUF_ERROR, with the output filled as far as it goes
    const int status = uncompress(out.data(), &size, bytes.data(), bytes.size());
    if (status != 0 && status != output_full) return std::nullopt;
    out.resize(size);
    return out;
}

std::optional<std::string> start_by_zstd(std::string_view bytes) {
    struct Buffer {
        const void* data;
        std::size_t size;
        std::size_t position;
    };
    constexpr const char* library = "libzstd.so.1";
    const auto create = loaded<void* (*)()>(library, "ZSTD_createDStream");
    const auto release = loaded<std::size_t (*)(void*)>(library, "ZSTD_freeDStream");
    const auto run = loaded<std::size_t (*)(void*, Buffer*, Buffer*)>(library, "ZSTD_decompressStream");
    const auto is_error = loaded<unsigned (*)(std::size_t)>(library, "ZSTD_isError");
    if (create == nullptr || release == nullptr || run == nullptr || is_error == nullptr) return std::nullopt;
    void* stream = create();
    if (stream == nullptr) return std::nullopt;
    std::string out(list_limit, '\0');
    Buffer to{out.data(), out.size(), 0};
    Buffer from{bytes.data(), bytes.size(), 0};
    bool good = true;
    while (good && to.position < to.size && from.position < from.size) {
        const auto before = std::pair(to.position, from.position);
        const std::size_t status = run(stream, &to, &from);
        good = is_error(status) == 0 && status != 0 && before != std::pair(to.position, from.position);
        if (is_error(status) == 0 && status == 0) break;  // the frame is complete
        if (!good && is_error(status) != 0) to.position = 0;
    }
    release(stream);
    if (to.position == 0) return std::nullopt;
    out.resize(to.position);
    return out;
}

// "gfx942" of "hipv4-amdgcn-amd-amdhsa--gfx942"; nothing of the host's entry.
std::string_view arch_of(std::string_view triple) {
    const auto gfx = triple.find("-gfx");
    if (gfx != std::string_view::npos) return triple.substr(gfx + 1);
    return triple.ends_with(spirv_arch) ? spirv_arch : std::string_view();
}

// Reads the list of a plain bundle; the size of the bundle, or nothing when the list is damaged.
std::optional<std::size_t> read_list(std::string_view bundle, std::set<std::string>& gfx) {
    auto count = little_endian<std::uint64_t>(bundle, plain_magic.size());
    std::size_t at = plain_magic.size() + 8;
    std::size_t end = at;
    if (!count) return std::nullopt;
    for (std::uint64_t i = 0; i < *count; ++i) {
        const auto offset = little_endian<std::uint64_t>(bundle, at);
        const auto size = little_endian<std::uint64_t>(bundle, at + 8);
        const auto length = little_endian<std::uint64_t>(bundle, at + 16);
        if (!offset || !size || !length || *length > bundle.size() - (at + 24)) return std::nullopt;
        const auto triple = bundle.substr(at + 24, *length);
        at += 24 + *length;
        const auto arch = arch_of(triple);
        // An entry of no bytes promises nothing.
        if (!arch.empty() && *size != 0) gfx.emplace(arch);
        if (*offset <= bundle.size() && *size <= bundle.size() - *offset)
            end = std::max<std::size_t>(end, *offset + *size);
    }
    return std::max(end, at);
}

// A compressed bundle: its list, and how many bytes it takes. The header has grown with its version.
std::size_t read_compressed(std::string_view bundle, std::set<std::string>& gfx,
                            std::set<std::string>& problems) {
    const auto version = little_endian<std::uint16_t>(bundle, 4).value_or(0);
    const auto method = little_endian<std::uint16_t>(bundle, 6).value_or(0);
    if (version < 1 || version > 3) {
        problems.insert("a HIP offload bundle is compressed in an unknown way");
        return compressed_magic.size();
    }
    const std::size_t header = version == 1 ? 20 : version == 2 ? 24 : 32;
    std::uint64_t total = bundle.size();
    if (version == 2) total = little_endian<std::uint32_t>(bundle, 8).value_or(0);
    if (version == 3) total = little_endian<std::uint64_t>(bundle, 8).value_or(0);
    if (total < header || total > bundle.size()) {
        problems.insert("a compressed HIP offload bundle is larger than its section");
        return compressed_magic.size();
    }
    const auto payload = bundle.substr(header, total - header);
    const auto start = method == 1 ? start_by_zstd(payload) : start_by_zlib(payload);
    if (!start || !start->starts_with(plain_magic) || !read_list(*start, gfx)) {
        problems.insert(std::string("a HIP offload bundle compressed with ") +
                        (method == 1 ? "zstd" : "zlib") + " cannot be read");
    }
    return version == 1 ? compressed_magic.size() : total;
}

}  // namespace

void read_hip_section(std::string_view section, std::set<std::string>& gfx, std::set<std::string>& problems) {
    std::size_t at = 0;
    // Looked for again only when passed, so that the time stays linear in the section's size.
    std::size_t plain = section.find(plain_magic);
    std::size_t compressed = section.find(compressed_magic);
    while (at < section.size()) {
        if (plain < at) plain = section.find(plain_magic, at);
        if (compressed < at) compressed = section.find(compressed_magic, at);
        const auto next = std::min(plain, compressed);
        if (next == std::string_view::npos) return;
        const auto bundle = section.substr(next);
        if (next == compressed) {
            at = next + read_compressed(bundle, gfx, problems);
        } else if (const auto size = read_list(bundle, gfx)) {
            at = next + *size;
        } else {
            problems.insert("a HIP offload bundle ends inside its list of targets");
            at = next + plain_magic.size();
        }
    }
}

}  // namespace kernels::build
