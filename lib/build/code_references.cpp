#include "build/code_references.hpp"

#include <array>

#include "build/little_endian.hpp"

namespace kernels::build {
namespace {

class References {
  public:
    explicit References(const std::set<std::uint64_t>& addresses) : m_addresses(addresses) {}

    // lea register, [rip + distance]: the distance, 32 bits from the end of the instruction.
    void x86_64(const ElfSection& code) {
        for (std::size_t at = 0; at + 4 <= code.bytes.size(); ++at) {
            const auto distance = static_cast<std::int32_t>(*little_endian<std::uint32_t>(code.bytes, at));
            take(code.address + at + 4 + static_cast<std::uint64_t>(std::int64_t{distance}));
        }
    }

    // adrp register, page; … add register, register, #offset: not always next to each other.
    void aarch64(const ElfSection& code) {
        std::array<std::uint64_t, 32> pages{};
        for (std::size_t at = 0; at + 4 <= code.bytes.size(); at += 4) {
            const auto word = *little_endian<std::uint32_t>(code.bytes, at);
            const std::uint64_t here = code.address + at;
            const std::uint64_t immediate = sign_extended((word >> 3U & 0x1ffffcU) | (word >> 29U & 3U), 21);
            if ((word & 0x9f000000U) == 0x90000000U) {
                pages.at(word & 31U) = (here & ~std::uint64_t{0xfff}) + (immediate << 12U);
            } else if ((word & 0x9f000000U) == 0x10000000U) {  // adr
                take(here + immediate);
            } else if ((word & 0xffc00000U) == 0x91000000U) {  // add, 64 bits, not shifted
                take(pages.at(word >> 5U & 31U) + (word >> 10U & 0xfffU));
            }
        }
    }

    // Pointers, and the addends of relocations that make them.
    void data(const ElfSection& section) {
        for (std::size_t at = 0; at + 8 <= section.bytes.size(); at += 8)
            take(*little_endian<std::uint64_t>(section.bytes, at));
    }

    std::set<std::uint64_t> result() && { return std::move(m_found); }

  private:
    static std::uint64_t sign_extended(std::uint64_t value, unsigned bits) {
        const std::uint64_t sign = std::uint64_t{1} << (bits - 1);
        return (value ^ sign) - sign;
    }

    void take(std::uint64_t address) {
        if (address < *m_addresses.begin() || address > *m_addresses.rbegin()) return;
        if (m_addresses.contains(address)) m_found.insert(address);
    }

    const std::set<std::uint64_t>& m_addresses;
    std::set<std::uint64_t> m_found;
};

}  // namespace

std::set<std::uint64_t> referred(const ElfSections& library, const std::set<std::uint64_t>& addresses) {
    if (addresses.empty()) return {};
    constexpr std::uint16_t x86_64 = 62;
    constexpr std::uint16_t aarch64 = 183;
    References references(addresses);
    for (const auto& section : library.sections) {
        if (section.is_code && library.machine == x86_64) references.x86_64(section);
        if (section.is_code && library.machine == aarch64) references.aarch64(section);
        if (section.name.starts_with(".data") || section.name.starts_with(".rela")) references.data(section);
    }
    return std::move(references).result();
}

}  // namespace kernels::build
