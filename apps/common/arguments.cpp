#include "common/arguments.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <list>

#include "kernels/core/error.hpp"
#include "kernels/core/reference.hpp"
#include "kernels/core/text.hpp"

namespace kernels::app {
namespace {

struct Storage {
    std::string name;
    std::vector<std::string> values;
    int count = 0;
};

void add_options(CLI::App& app, std::span<const OptionSpec> specs, std::list<Storage>& storage) {
    for (const auto& spec : specs) {
        Storage& place = storage.emplace_back();
        place.name = spec.name;
        const std::string names =
            (spec.alias.empty() ? std::string() : std::string(spec.alias) + ",") + place.name;
        if (!spec.takes_value()) {
            app.add_flag(names, place.count)->disable_flag_override();
        } else if (spec.value_is_optional()) {
            app.add_flag(names, place.values);
        } else {
            auto* option = app.add_option(names, place.values)->allow_extra_args(false);
            if (!spec.repeatable && !spec.refused_again)
                option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
        }
    }
}

std::vector<std::string> option_names(const CommandSpec* command) {
    std::vector<std::string> names;
    for (const auto& spec : global_options())
        names.emplace_back(spec.name);
    if (command != nullptr) {
        for (const auto& spec : command->options)
            names.emplace_back(spec.name);
    }
    return names;
}

std::string how_to_get_help(const CommandSpec* command) {
    return "see `kernels help" + (command != nullptr ? " " + std::string(command->name) : std::string()) +
           "`";
}

bool is_repository(std::string_view text) {
    try {
        RepoId::parse(text);
        return true;
    } catch (const Error&) {
        return false;
    }
}

// `--upgrade org/name` is `--upgrade=org/name`: an optional value is taken when it names a repository. One
// that is a folder as well could be meant as the command's argument.
std::vector<std::string> with_joined_values(int argc, const char* const* argv) {
    std::vector<std::string> words;
    for (int i = 1; i < argc; ++i) {
        words.emplace_back(argv[i]);
        if (i + 1 == argc) break;
        for (const auto& command : all_commands()) {
            for (const auto& spec : command.options) {
                if (!spec.value_is_optional() || words.back() != spec.name) continue;
                std::error_code ignored;
                const std::string_view next = argv[i + 1];
                if (!is_repository(next)) continue;
                if (std::filesystem::exists(next, ignored)) {
                    throw Error(ErrorCode::usage,
                                words.back() + " " + std::string(next) +
                                    ": a repository has this name, and there is a folder of it too",
                                "write " + words.back() + "=" + std::string(next) +
                                    " for the repository, ./" + std::string(next) + " for the folder");
                }
                words.back() += "=" + std::string(argv[++i]);
            }
        }
    }
    // CLI11 takes them from the back.
    return {words.rbegin(), words.rend()};
}

const OptionSpec* find_option(std::string_view name, const CommandSpec* command) {
    for (const auto& spec : global_options()) {
        if (spec.name == name || spec.alias == name) return &spec;
    }
    if (command == nullptr) return nullptr;
    for (const auto& spec : command->options) {
        if (spec.name == name || spec.alias == name) return &spec;
    }
    return nullptr;
}

// An option without its value, or a switch with one.
[[noreturn]] void refuse_value(const std::string& parser_message, const CommandSpec* command) {
    std::string name = parser_message.substr(0, parser_message.find_first_of(": "));
    if (!name.starts_with('-')) name.insert(0, "--");
    const auto* spec = find_option(name, command);
    if (spec == nullptr) throw Error(ErrorCode::usage, parser_message, how_to_get_help(command));
    throw Error(ErrorCode::usage,
                name + (spec->takes_value() ? ": its " + std::string(spec->value) + " is missing"
                                            : ": it takes no value"),
                how_to_get_help(command));
}

// A word where a command's first word (or, in a family, its second) should be.
[[noreturn]] void refuse_command(const std::string& word, const std::string& family_name) {
    const auto names = family_name.empty() ? first_words() : second_words(family_name);
    const std::string how =
        "see `kernels help" + (family_name.empty() ? std::string() : " " + family_name) + "`";
    if (word.empty())
        throw Error(ErrorCode::usage, "kernels " + family_name + ": one of its commands is missing", how,
                    {"they are " + join(names, ", ")});
    const auto hint = did_you_mean(word, names);
    throw Error(
        ErrorCode::usage,
        backquoted(family_name.empty() ? word : family_name + " " + word) + ": there is no such command",
        hint.empty() ? how : hint);
}

[[noreturn]] void refuse_extra(const std::string& word, const CommandSpec* command,
                               const std::string& family_name) {
    if (word.starts_with('-')) {
        const auto hint = did_you_mean(word.substr(0, word.find('=')), option_names(command));
        throw Error(ErrorCode::usage, word.substr(0, word.find('=')) + ": there is no such option",
                    hint.empty() ? how_to_get_help(command) : hint);
    }
    if (command != nullptr) {
        throw Error(ErrorCode::usage, backquoted(word) + ": one argument too many", how_to_get_help(command));
    }
    refuse_command(word, family_name);
}

}  // namespace

Arguments Arguments::parse(int argc, const char* const* argv) {
    CLI::App app;
    app.set_help_flag();
    app.allow_extras(false);
    std::list<Storage> storage;
    Arguments arguments;
    add_options(app, global_options(), storage);
    std::map<std::string, CLI::App*> commands;
    std::map<std::string, std::vector<std::string>> positional;
    std::map<std::string, std::list<Storage>> command_storage;
    std::map<std::string, CLI::App*> families;
    for (const auto& spec : all_commands()) {
        const std::string name(spec.name);
        CLI::App* parent = &app;
        const auto space = name.find(' ');
        if (space != std::string::npos) {
            CLI::App*& whole = families[name.substr(0, space)];
            if (whole == nullptr) {
                whole = app.add_subcommand(name.substr(0, space));
                whole->set_help_flag();
                whole->fallthrough();
                whole->require_subcommand(0, 1);
            }
            parent = whole;
        }
        CLI::App* command = parent->add_subcommand(name.substr(space + 1));
        command->set_help_flag();
        command->fallthrough();
        add_options(*command, spec.options, command_storage[name]);
        if (spec.most_arguments > 0) {
            command->add_option("arguments", positional[name]);
        }
        commands[name] = command;
    }
    app.require_subcommand(0, 1);
    const auto chosen = [&]() -> const CommandSpec* {
        for (const auto& [name, command] : commands) {
            if (command->parsed()) return find_command(name);
        }
        return nullptr;
    };
    const auto chosen_family = [&]() -> std::string {
        for (const auto& [name, command] : families) {
            if (command->parsed()) return name;
        }
        return {};
    };
    try {
        app.parse(with_joined_values(argc, argv));
    } catch (const CLI::ExtrasError&) {
        refuse_extra(app.remaining(true).front(), chosen(), chosen_family());
    } catch (const CLI::ArgumentMismatch& error) {
        refuse_value(error.what(), chosen());
    } catch (const CLI::ParseError& error) {
        throw Error(ErrorCode::usage, error.what(), how_to_get_help(chosen()));
    }
    arguments.m_command = chosen();
    if (arguments.m_command == nullptr) arguments.m_family = chosen_family();
    arguments.m_version = std::any_of(storage.begin(), storage.end(), [](const Storage& place) {
        return place.name == "--version" && place.count > 0;
    });
    if (arguments.m_command != nullptr) {
        storage.splice(storage.end(), command_storage[std::string(arguments.m_command->name)]);
        arguments.m_positional = positional[std::string(arguments.m_command->name)];
    }
    for (auto& place : storage) {
        if (std::find(place.values.begin(), place.values.end(), "") != place.values.end())
            refuse_value(place.name, arguments.m_command);
        arguments.m_counts[place.name] = place.count + static_cast<int>(place.values.size());
        arguments.m_values[place.name] = std::move(place.values);
    }
    const CommandSpec* command = arguments.m_command;
    if (command != nullptr && static_cast<int>(arguments.m_positional.size()) > command->most_arguments) {
        refuse_extra(arguments.m_positional[static_cast<std::size_t>(command->most_arguments)], command, {});
    }
    if (!arguments.m_family.empty() && !arguments.has("--help") && !arguments.m_version)
        refuse_command("", arguments.m_family);
    if (command != nullptr && !arguments.has("--help") && !arguments.m_version &&
        static_cast<int>(arguments.m_positional.size()) < command->least_arguments) {
        throw Error(
            ErrorCode::usage,
            "kernels " + std::string(command->name) + ": " + std::string(command->arguments) + " is missing",
            how_to_get_help(command));
    }
    return arguments;
}

bool Arguments::has(std::string_view option) const {
    return count(option) > 0;
}

int Arguments::count(std::string_view option) const {
    const auto found = m_counts.find(option);
    return found == m_counts.end() ? 0 : found->second;
}

std::optional<std::string> Arguments::value(std::string_view option) const {
    const auto found = m_values.find(option);
    if (found == m_values.end() || found->second.empty()) return std::nullopt;
    return found->second.back();
}

std::vector<std::string> Arguments::values(std::string_view option) const {
    const auto found = m_values.find(option);
    return found == m_values.end() ? std::vector<std::string>{} : found->second;
}

std::optional<long long> Arguments::number(std::string_view option, long long least) const {
    const auto text = value(option);
    if (!text) return std::nullopt;
    long long number = 0;
    const auto [end, status] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (status != std::errc() || end != text->data() + text->size() || number < least) {
        throw Error(ErrorCode::usage, std::string(option) + " " + backquoted(*text) +
                                          ": not a number of at least " + std::to_string(least));
    }
    return number;
}

std::optional<double> Arguments::real(std::string_view option) const {
    const auto text = value(option);
    if (!text) return std::nullopt;
    double number = 0;
    const auto [end, status] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (status != std::errc() || end != text->data() + text->size() || !(number >= 0) ||
        !std::isfinite(number)) {
        throw Error(ErrorCode::usage,
                    std::string(option) + " " + backquoted(*text) + ": not a finite number of at least 0");
    }
    return number;
}

}  // namespace kernels::app
