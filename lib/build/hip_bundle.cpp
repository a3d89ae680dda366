#include "build/hip_bundle.hpp"

#include <algorithm>
#include <optional>

#include "build/decompress.hpp"
#include "build/little_endian.hpp"
#include "kernels/build/fatbin.hpp"

namespace kernels::build {
namespace {

// Both forms are described in LLVM's documentation of clang-offload-bundler.
constexpr std::string_view plain_magic = "__CLANG_OFFLOAD_BUNDLE__";
constexpr std::string_view compressed_magic = "CCOB";
// The list of targets stands at the start of a bundle; more than this of it is never needed.
constexpr std::size_t list_limit = std::size_t{64} << 10U;

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

// A compressed bundle: its list, and how many bytes it takes. The header has grown with its version; that of
// version 1 does not tell the size, which the end of the compressed data does.
std::size_t read_compressed(std::string_view bundle, std::set<std::string>& gfx,
                            std::set<std::string>& problems) {
    const auto version = little_endian<std::uint16_t>(bundle, 4).value_or(0);
    const auto method = little_endian<std::uint16_t>(bundle, 6).value_or(0);
    if (version < 1 || version > 3 || method > 1) {
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
    const auto result = decompress_start(method == 1 ? Compression::zstd : Compression::zlib, payload,
                                         list_limit, version == 1);
    const bool is_read = result.start.starts_with(plain_magic) && read_list(result.start, gfx);
    if (!is_read) {
        problems.insert(std::string("a HIP offload bundle compressed with ") +
                        (method == 1 ? "zstd" : "zlib") + " cannot be read: " +
                        (result.failure.empty() ? "there is no list of targets in it" : result.failure));
    }
    if (version != 1) return total;
    return result.failure.empty() ? header + result.size : compressed_magic.size();
}

}  // namespace

void read_hip_section(std::string_view section, std::set<HipUnit>& units, std::set<std::string>& problems) {
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
        HipUnit unit;
        if (next == compressed) {
            at = next + read_compressed(bundle, unit, problems);
        } else if (const auto size = read_list(bundle, unit)) {
            at = next + *size;
        } else {
            problems.insert("a HIP offload bundle ends inside its list of targets");
            at = next + plain_magic.size();
        }
        if (!unit.empty()) units.insert(std::move(unit));
    }
}

}  // namespace kernels::build
