// kernels __man: the part of man/kernels.1 that comes from the table of commands.
#include <cstdio>
#include <string>

#include "commands.hpp"

namespace kernels::app {
namespace {

std::string roff(std::string_view text) {
    std::string out;
    if (text.starts_with('.') || text.starts_with('\'')) out += "\\&";
    for (const char c : text) {
        if (c == '-') {
            out += "\\-";
        } else if (c == '\\') {
            out += "\\e";
        } else {
            out += c;
        }
    }
    return out;
}

void print_option(const OptionSpec& option) {
    std::string line = ".TP\n\\fB";
    if (!option.alias.empty()) line += roff(option.alias) + "\\fR, \\fB";
    line += roff(option.name) + "\\fR";
    if (option.takes_value()) line += " \\fI" + roff(option.value) + "\\fR";
    std::puts(line.c_str());
    std::puts(
        (roff(option.help) + (option.repeatable && option.takes_value() ? "; repeatable." : ".")).c_str());
}

}  // namespace

void print_man_sections() {
    std::puts(".SH COMMANDS");
    for (const auto& command : all_commands()) {
        std::string heading = ".SS kernels " + roff(command.name);
        if (!command.arguments.empty()) heading += " " + roff(command.arguments);
        std::puts(heading.c_str());
        std::puts(roff(command.description).c_str());
        for (const auto& option : command.options)
            print_option(option);
    }
    std::puts(".SH OPTIONS OF EVERY COMMAND\nThey may stand before or behind the command.");
    for (const auto& option : global_options())
        print_option(option);
}

}  // namespace kernels::app
