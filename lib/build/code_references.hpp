// To which places of itself a library refers.
#pragma once

#include <cstdint>
#include <set>

#include "build/elf_sections.hpp"

namespace kernels::build {

/// Those of `addresses` that an instruction of the library's code computes (x86-64 and AArch64; of other
/// processors none is known) or that stand in its initialized data. Instructions are looked for at every
/// byte, so one in about 4 billion bytes is none.
std::set<std::uint64_t> referred(const ElfSections& library, const std::set<std::uint64_t>& addresses);

}  // namespace kernels::build
