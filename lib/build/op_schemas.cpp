#include "kernels/build/op_schemas.hpp"

#include <algorithm>
#include <cctype>
#include <cstdint>

#include "build/code_references.hpp"
#include "build/elf_sections.hpp"
#include "build/mapped_file.hpp"

namespace kernels::build {
namespace {

constexpr std::string_view arrow = "->";
// Some attention kernels have schemas of 1,500 characters.
constexpr std::size_t longest_schema = 16384;

bool is_text(char c) {
    return (c >= ' ' && c <= '~') || c == '\n' || c == '\t';  // raw string literals hold line ends
}

bool is_name(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == ':';
}

bool begins_name(char c) {
    return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// The printable text around `at`, and whether zeros or the section's ends enclose it, as they do a C string.
struct Run {
    std::string_view text;
    bool starts = false;
    bool ends = false;
};

Run run_around(std::string_view bytes, std::size_t at) {
    std::size_t begin = at;
    while (begin > 0 && is_text(bytes[begin - 1]) && at - begin < longest_schema)
        --begin;
    std::size_t end = at;
    while (end < bytes.size() && is_text(bytes[end]) && end - at < longest_schema)
        ++end;
    return {bytes.substr(begin, end - begin), begin == 0 || bytes[begin - 1] == '\0',
            end == bytes.size() || bytes[end] == '\0'};
}

class Collector {
  public:
    explicit Collector(const std::set<std::string>& wanted) : m_wanted(wanted) {}

    // `address` is that of the section.
    void section(std::string_view bytes, std::uint64_t address) {
        m_offset = address - reinterpret_cast<std::uintptr_t>(bytes.data());
        for (std::size_t at = bytes.find(arrow); at != std::string_view::npos;
             at = bytes.find(arrow, at + 1)) {
            const Run run = run_around(bytes, at);
            // A schema has one arrow; where constants of the code follow each other without zeros there are
            // several, and nothing to tell them apart by.
            if (!run.ends || run.text.find(arrow) != run.text.rfind(arrow)) continue;
            take(run);
        }
    }

    // The addresses of the ends of longer strings.
    std::set<std::uint64_t> ends() const {
        std::set<std::uint64_t> addresses;
        for (const auto& found : m_found)
            if (found.text.is_end) addresses.insert(found.address);
        return addresses;
    }

    // Without the ends that are none of `strings`.
    std::vector<SchemaText> result(const std::set<std::uint64_t>& strings) && {
        std::vector<SchemaText> texts;
        std::set<std::pair<bool, std::string>> seen;
        for (auto& [text, address] : m_found) {
            if (text.is_end && !strings.contains(address)) continue;
            if (seen.insert({text.is_end, text.text}).second) texts.push_back(std::move(text));
        }
        return texts;
    }

  private:
    void take(const Run& run) {
        const std::size_t open = run.text.find('(');
        if (open == std::string_view::npos || open > run.text.find(arrow)) return;
        std::size_t begin = open;
        while (begin > 0 && is_name(run.text[begin - 1]))
            --begin;
        const auto blank = run.text.substr(0, begin);
        const bool whole = run.starts && blank.find_first_not_of(" \n\t") == std::string_view::npos;
        if (whole && begin < open && begins_name(run.text[begin])) add(run.text.substr(begin), false);
        for (std::size_t i = begin + (whole ? 1 : 0); i < open; ++i) {
            // What stands behind a namespace or an operator's name is no name of its own.
            if (!begins_name(run.text[i]) || (i > 0 && (run.text[i - 1] == ':' || run.text[i - 1] == '.')))
                continue;
            const auto name = run.text.substr(i, open - i);
            if (m_wanted.contains(std::string(name.substr(0, name.find('.'))))) add(run.text.substr(i), true);
        }
    }

    void add(std::string_view text, bool is_end) {
        m_found.push_back(
            {{std::string(text), is_end}, m_offset + reinterpret_cast<std::uintptr_t>(text.data())});
    }

    struct Found {
        SchemaText text;
        std::uint64_t address = 0;
    };
    const std::set<std::string>& m_wanted;
    std::vector<Found> m_found;
    std::uint64_t m_offset = 0;
};

}  // namespace

std::vector<SchemaText> schema_texts(std::string_view library, const std::string& origin,
                                     const std::set<std::string>& wanted) {
    Collector collector(wanted);
    if (!library.starts_with("\x7f"
                             "ELF")) {
        collector.section(library, 0);
        return std::move(collector).result({});
    }
    const auto elf = elf_sections(library, origin);
    for (const auto& section : elf.sections) {
        if (section.name.starts_with(".rodata")) collector.section(section.bytes, section.address);
    }
    // Only a reference to its beginning tells a string that is kept as the end of another one from the end of
    // a string that has nothing to do with it.
    const auto strings = referred(elf, collector.ends());
    return std::move(collector).result(strings);
}

std::vector<SchemaText> read_schema_texts(const std::filesystem::path& library,
                                          const std::set<std::string>& wanted) {
    const MappedFile file(library);
    return schema_texts(file.bytes(), library.string(), wanted);
}

}  // namespace kernels::build
