// The sections of an ELF file, bounds-checked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kernels::build {

struct ElfSection {
    std::string_view name;
    std::string_view bytes;
    std::uint64_t address = 0;  ///< from where it is loaded; 0: it is not
    bool is_code = false;
};

struct ElfSections {
    std::uint16_t machine = 0;  ///< e_machine
    std::vector<ElfSection> sections;
    std::vector<std::string> problems;  ///< sections that lie outside of the file
};

/// Throws Error(failed) when `file` is no 64-bit little-endian ELF file. The views point into `file`.
ElfSections elf_sections(std::string_view file, const std::string& origin);

}  // namespace kernels::build
