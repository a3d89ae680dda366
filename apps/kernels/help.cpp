// kernels help: the table of commands, for people.
#include <algorithm>
#include <cstdio>
#include <string>

#include "commands.hpp"
#include "kernels/core/text.hpp"

namespace kernels::app {
namespace {

constexpr std::size_t width = 96;

// `text` in lines of at most `width`, the first one continuing at column `column`, all indented to it.
std::string wrapped(std::string_view text, std::size_t column) {
    std::string out;
    std::size_t at = column;
    for (const auto word : split(text, ' ')) {
        if (at > column && at + 1 + word.size() > width) {
            out += "\n" + std::string(column, ' ');
            at = column;
        } else if (at > column) {
            out += ' ';
            ++at;
        }
        out += word;
        at += word.size();
    }
    return out;
}

void print_entry(const std::string& left, std::string_view right, std::size_t column) {
    std::string line = "  " + left;
    if (line.size() + 2 > column) {
        line += "\n" + std::string(column, ' ');
    } else {
        line.resize(column, ' ');
    }
    std::puts((line + wrapped(right, column)).c_str());
}

// Without the ones that `command` gives another meaning.
void print_options(std::span<const OptionSpec> options, const CommandSpec* command = nullptr) {
    for (const auto& option : options) {
        const auto same = [&](const OptionSpec& own) { return own.name == option.name; };
        if (command != nullptr && std::any_of(command->options.begin(), command->options.end(), same))
            continue;
        std::string left = option.alias.empty() ? "    " : std::string(option.alias) + ", ";
        left += option.name;
        if (option.takes_value()) left += " " + std::string(option.value);
        print_entry(
            left,
            std::string(option.help) + (option.repeatable && option.takes_value() ? "; repeatable" : ""), 26);
    }
}

void print_overview() {
    std::puts("kernels: compute kernels from the Hub, called from TorchScript models\n");
    std::puts("Usage: kernels COMMAND [DIR|REPO|MODEL] [OPTIONS]");
    for (const Group group : {Group::project, Group::cache, Group::kernel, Group::model, Group::program}) {
        std::printf("\n%s:\n", std::string(to_string(group)).c_str());
        for (const auto& command : all_commands()) {
            if (command.group == group) print_entry(std::string(command.name), command.summary, 18);
        }
    }
    std::puts("\nOptions of every command:");
    print_options(global_options());
    std::puts("\n`kernels help COMMAND` explains a command; `man kernels` has it all.");
}

}  // namespace

void print_help(const CommandSpec* command, const std::string& family_name) {
    if (command == nullptr && !family_name.empty()) {
        std::printf("Usage: kernels %s COMMAND [OPTIONS]\n\nCommands:\n", family_name.c_str());
        for (const auto* member : family(family_name))
            print_entry(std::string(member->name), member->summary, 18);
        std::printf("\n`kernels help %s COMMAND` explains a command.\n", family_name.c_str());
        return;
    }
    if (command == nullptr) {
        print_overview();
        return;
    }
    const std::string arguments = command->arguments.empty() ? "" : " " + std::string(command->arguments);
    std::printf("Usage: kernels %s%s [OPTIONS]\n\n%s\n", std::string(command->name).c_str(),
                arguments.c_str(), wrapped(command->description, 0).c_str());
    if (!command->options.empty()) {
        std::puts("\nOptions:");
        print_options(command->options);
    }
    std::puts("\nOptions of every command:");
    print_options(global_options(), command);
}

int run_help(const Context& context) {
    if (context.arguments.positional().empty()) {
        print_help(nullptr);
        return 0;
    }
    const std::string name = join(context.arguments.positional(), " ");
    const auto* command = find_command(name);
    if (command == nullptr) {
        if (!family(name).empty()) {
            print_help(nullptr, name);
            return 0;
        }
        std::vector<std::string> names = first_words();
        for (const auto& known : all_commands())
            names.emplace_back(known.name);
        const auto hint = did_you_mean(name, names);
        throw Error(ErrorCode::usage, backquoted(name) + ": there is no such command",
                    hint.empty() ? "see `kernels help`" : hint);
    }
    print_help(command);
    return 0;
}

}  // namespace kernels::app
