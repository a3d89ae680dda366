#include "build/elf_sections.hpp"

#include <optional>

#include "build/little_endian.hpp"
#include "kernels/core/error.hpp"

namespace kernels::build {
namespace {

constexpr std::size_t section_header_size = 64;
constexpr std::uint64_t flag_executable = 4;  // SHF_EXECINSTR
constexpr std::uint32_t type_no_bits = 8;     // SHT_NOBITS occupies no bytes of the file

struct SectionHeader {
    std::uint32_t name = 0;
    std::uint32_t type = 0;
    std::uint64_t flags = 0;
    std::uint64_t address = 0;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    std::uint32_t link = 0;
};

std::optional<SectionHeader> header_at(std::string_view file, std::uint64_t table, std::uint64_t index) {
    if (table > file.size() || index >= (file.size() - table) / section_header_size) return std::nullopt;
    const auto bytes = file.substr(table + index * section_header_size, section_header_size);
    return SectionHeader{*little_endian<std::uint32_t>(bytes, 0),  *little_endian<std::uint32_t>(bytes, 4),
                         *little_endian<std::uint64_t>(bytes, 8),  *little_endian<std::uint64_t>(bytes, 16),
                         *little_endian<std::uint64_t>(bytes, 24), *little_endian<std::uint64_t>(bytes, 32),
                         *little_endian<std::uint32_t>(bytes, 40)};
}

std::optional<std::string_view> contents(std::string_view file, const SectionHeader& header) {
    if (header.offset > file.size() || header.size > file.size() - header.offset) return std::nullopt;
    return file.substr(header.offset, header.size);
}

std::string_view name_in(std::string_view names, std::uint32_t offset) {
    if (offset >= names.size()) return {};
    constexpr std::size_t longest = 256;  // names that are looked for are shorter
    const auto rest = names.substr(offset, longest);
    return rest.substr(0, rest.find('\0'));
}

}  // namespace

ElfSections elf_sections(std::string_view file, const std::string& origin) {
    constexpr std::size_t elf_header_size = 64;
    if (!file.starts_with("\x7f"
                          "ELF\x02\x01") ||
        file.size() < elf_header_size) {
        throw Error(ErrorCode::failed, origin + ": not a 64-bit ELF library",
                    "only Linux libraries can be looked into");
    }
    ElfSections out;
    out.machine = *little_endian<std::uint16_t>(file, 18);
    const auto table = *little_endian<std::uint64_t>(file, 40);
    const auto entry_size = *little_endian<std::uint16_t>(file, 58);
    std::uint64_t count = *little_endian<std::uint16_t>(file, 60);
    std::uint64_t names_index = *little_endian<std::uint16_t>(file, 62);
    const auto first = header_at(file, table, 0);
    if (table == 0 || entry_size != section_header_size || !first) {
        out.problems.emplace_back("the library has no readable section table");
        return out;
    }
    if (count == 0) count = first->size;  // more sections than the ELF header's field can count
    if (names_index == 0xffff) names_index = first->link;
    const auto names_header = header_at(file, table, names_index);
    const auto names = names_header ? contents(file, *names_header) : std::nullopt;
    if (!names) {
        out.problems.emplace_back("the library's section names lie outside of the file");
        return out;
    }
    for (std::uint64_t i = 1; i < count; ++i) {
        const auto header = header_at(file, table, i);
        if (!header) {
            out.problems.emplace_back("the library's section table ends early");
            break;
        }
        if (header->type == type_no_bits) continue;
        const auto bytes = contents(file, *header);
        if (bytes) {
            out.sections.push_back({name_in(*names, header->name), *bytes, header->address,
                                    (header->flags & flag_executable) != 0});
        } else {
            out.problems.emplace_back("a section lies outside of the file");
        }
    }
    return out;
}

}  // namespace kernels::build
