// The sections of an ELF file, bounds-checked.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kernels::build {

struct ElfSection {
    std::string_view name;
    std::string_view bytes;
};

struct ElfSections {
    std::vector<ElfSection> sections;
    std::vector<std::string> problems;  ///< sections that lie outside of the file
};

/// Throws Error(failed) when `file` is no 64-bit little-endian ELF file. The views point into `file`.
ElfSections elf_sections(std::string_view file, const std::string& origin);

}  // namespace kernels::build
