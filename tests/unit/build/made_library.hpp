// ELF libraries with device code, put together byte by byte: what no compiler here makes, and what is
// damaged.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kernels::testing {

/// Little-endian bytes, appended.
class Bytes {
  public:
    template <typename Number>
    Bytes& add(Number value) {
        for (std::size_t i = 0; i < sizeof(Number); ++i)
            m_text += static_cast<char>((static_cast<std::uint64_t>(value) >> (8 * i)) & 0xff);
        return *this;
    }
    Bytes& add_text(std::string_view text) {
        m_text += text;
        return *this;
    }
    Bytes& pad_to(std::size_t size) {
        if (m_text.size() < size) m_text.resize(size, '\0');
        return *this;
    }
    const std::string& text() const { return m_text; }

  private:
    std::string m_text;
};

/// Where elf_library puts the first section, in the file and in memory; the others follow at multiples of 8.
inline constexpr std::uint64_t first_section_at = 64;

/// A 64-bit ELF library that holds just these sections; those named .text… are code.
inline std::string elf_library(const std::vector<std::pair<std::string, std::string>>& sections,
                               std::uint16_t machine = 62) {
    std::string names(1, '\0');
    std::string contents;
    std::vector<std::uint32_t> name_offsets;
    std::vector<std::uint64_t> offsets;
    constexpr std::uint64_t header_size = first_section_at;
    for (const auto& [name, bytes] : sections) {
        name_offsets.push_back(static_cast<std::uint32_t>(names.size()));
        names += name + '\0';
        contents.resize((contents.size() + 7) / 8 * 8, '\0');
        offsets.push_back(header_size + contents.size());
        contents += bytes;
    }
    const std::uint64_t names_at = header_size + contents.size();
    const auto names_name = static_cast<std::uint32_t>(names.size());
    names += std::string(".shstrtab") + '\0';
    const std::uint64_t table_at = names_at + names.size();
    const auto count = static_cast<std::uint16_t>(sections.size() + 2);

    Bytes out;
    out.add_text(
        std::string_view("\x7f"
                         "ELF\x02\x01\x01",
                         7));
    out.pad_to(16).add<std::uint16_t>(3).add(machine).add<std::uint32_t>(1);
    out.add<std::uint64_t>(0).add<std::uint64_t>(0).add<std::uint64_t>(table_at).add<std::uint32_t>(0);
    out.add<std::uint16_t>(64).add<std::uint16_t>(0).add<std::uint16_t>(0).add<std::uint16_t>(64);
    out.add<std::uint16_t>(count).add<std::uint16_t>(static_cast<std::uint16_t>(count - 1));
    out.add_text(contents).add_text(names);
    const auto header = [&](std::uint32_t name, std::uint32_t type, std::uint64_t offset, std::uint64_t size,
                            std::uint64_t flags = 0) {
        out.add(name).add(type).add(flags).add(offset).add(offset).add(size);
        out.add<std::uint64_t>(0).add<std::uint64_t>(1).add<std::uint64_t>(0);
    };
    header(0, 0, 0, 0);
    for (std::size_t i = 0; i < sections.size(); ++i)
        header(name_offsets[i], 1, offsets[i], sections[i].second.size(),
               sections[i].first.starts_with(".text") ? 4 : 0);
    header(names_name, 3, names_at, names.size());
    return out.text();
}

/// One entry of a CUDA fat binary: machine code (2) or PTX (1).
inline std::string cuda_entry(int kind, int capability, std::uint64_t flags, const std::string& payload,
                              int ptx_major = 0, int ptx_minor = 0) {
    Bytes out;
    out.add<std::uint16_t>(static_cast<std::uint16_t>(kind)).add<std::uint16_t>(0x101).add<std::uint32_t>(64);
    out.add<std::uint64_t>(payload.size()).add<std::uint32_t>(0).add<std::uint32_t>(0);
    out.add<std::uint16_t>(static_cast<std::uint16_t>(ptx_minor));
    out.add<std::uint16_t>(static_cast<std::uint16_t>(ptx_major));
    out.add<std::uint32_t>(static_cast<std::uint32_t>(capability))
        .add<std::uint32_t>(0)
        .add<std::uint32_t>(0);
    out.add(flags).pad_to(64).add_text(payload);
    return out.text();
}

inline std::string cuda_image(const std::string& entries) {
    Bytes out;
    out.add<std::uint32_t>(0xBA55ED50).add<std::uint16_t>(1).add<std::uint16_t>(16);
    out.add<std::uint64_t>(entries.size()).add_text(entries);
    return out.text();
}

/// A HIP offload bundle; each target's code is `code_size` bytes.
inline std::string hip_bundle(const std::vector<std::string>& triples, std::size_t code_size = 32) {
    std::uint64_t at = 24 + 8;
    for (const auto& triple : triples)
        at += 24 + triple.size();
    Bytes out;
    out.add_text("__CLANG_OFFLOAD_BUNDLE__").add<std::uint64_t>(triples.size());
    for (const auto& triple : triples) {
        const std::uint64_t size = triple.starts_with("host") ? 0 : code_size;
        out.add(at).add(size).add<std::uint64_t>(triple.size()).add_text(triple);
        at += size;
    }
    return out.pad_to(at).text();
}

}  // namespace kernels::testing
