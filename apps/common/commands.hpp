// The description of every command: the one table behind parsing, help, completions and the check of the man
// page.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kernels::app {

struct OptionSpec {
    std::string_view name;   ///< "--target"
    std::string_view alias;  ///< "-o", or empty
    std::string_view
        value;  ///< what stands behind it, "SPEC"; "[REPO]" when it may be left out; empty for a switch
    std::string_view help;
    bool repeatable = false;
    bool refused_again = false;  ///< the command says why there is only one

    constexpr bool takes_value() const noexcept { return !value.empty(); }
    constexpr bool value_is_optional() const noexcept { return value.starts_with('['); }
};

/// What a command is about: the headings of `kernels help`.
enum class Group { project, cache, kernel, model, program };
std::string_view to_string(Group group) noexcept;

struct CommandSpec {
    std::string_view name;  ///< "lock"; of a family of commands two words, "cache ls"
    Group group;
    std::string_view arguments;  ///< positional, "[DIR]"
    int least_arguments;
    int most_arguments;
    std::string_view summary;
    std::string_view description;
    std::span<const OptionSpec> options;
    bool needs_torch = false;  ///< run by kernels-torch
};

/// Every command, in the order of `kernels help`.
std::span<const CommandSpec> all_commands();
/// The options that every command takes.
std::span<const OptionSpec> global_options();
const CommandSpec* find_command(std::string_view name);
/// The commands whose first word is `name`, when they have a second one.
std::vector<const CommandSpec*> family(std::string_view name);
/// The first words of all commands, each once, in the table's order.
std::vector<std::string> first_words();
/// The second words of a family.
std::vector<std::string> second_words(std::string_view name);

}  // namespace kernels::app
