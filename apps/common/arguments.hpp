// A parsed command line.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/commands.hpp"

namespace kernels::app {

class Arguments {
  public:
    /// Parses everything behind the program's name against the table. Throws Error(usage) with a suggestion
    /// for unknown commands and options.
    static Arguments parse(int argc, const char* const* argv);

    /// nullptr when there was no command.
    const CommandSpec* command() const noexcept { return m_command; }
    /// The first word of a family of commands whose second word is missing; only with --help or --version.
    const std::string& family() const noexcept { return m_family; }
    /// Whether the program's own version is asked for; a command may have a --version of another meaning.
    bool asks_for_version() const noexcept { return m_version; }
    bool has(std::string_view option) const;
    int count(std::string_view option) const;
    /// The last value given.
    std::optional<std::string> value(std::string_view option) const;
    std::vector<std::string> values(std::string_view option) const;
    /// The value as a number of at least `least`; Error(usage) for anything else.
    std::optional<long long> number(std::string_view option, long long least) const;
    std::optional<double> real(std::string_view option) const;
    const std::vector<std::string>& positional() const noexcept { return m_positional; }

  private:
    const CommandSpec* m_command = nullptr;
    std::string m_family;
    bool m_version = false;
    std::map<std::string, std::vector<std::string>, std::less<>> m_values;
    std::map<std::string, int, std::less<>> m_counts;
    std::vector<std::string> m_positional;
};

}  // namespace kernels::app
