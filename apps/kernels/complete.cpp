// kernels __complete: what may stand at the cursor, from the table of commands, the cache and the project.
#include <cstdio>
#include <set>
#include <sstream>

#include "commands.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"
#include "kernels/hub/cache.hpp"
#include "kernels/hub/settings.hpp"
#include "kernels/layer/device.hpp"
#include "kernels/project/project.hpp"

namespace kernels::app {
namespace {

namespace fs = std::filesystem;

class Completer {
  public:
    explicit Completer(std::vector<std::string> words) : m_words(std::move(words)), m_last(m_words.back()) {}

    void run() {
        const OptionSpec* waiting = read_words();
        if (waiting != nullptr) return value(waiting->value, waiting->name, m_last, "");
        if (const auto equals = m_last.find('='); m_last.starts_with("--") && equals != std::string::npos) {
            const auto* option = find_option(m_last.substr(0, equals));
            if (option != nullptr && option->takes_value()) {
                value(option->value, option->name, m_last.substr(equals + 1), m_last.substr(0, equals + 1));
            }
            return;
        }
        if (m_last.starts_with('-')) return options();
        if (m_command == nullptr) return commands();
        if (m_positional < m_command->most_arguments) value(m_command->arguments, "", m_last, "");
    }

  private:
    // Finds the command and counts its arguments; gives the option whose value the last word is.
    const OptionSpec* read_words() {
        const OptionSpec* waiting = nullptr;
        for (std::size_t i = 0; i + 1 < m_words.size(); ++i) {
            const std::string& word = m_words[i];
            if (waiting != nullptr) {
                note(*waiting, word);
                waiting = nullptr;
            } else if (word.starts_with('-')) {
                const auto equals = word.find('=');
                const auto* option = find_option(word.substr(0, equals));
                if (option == nullptr || !option->takes_value() || option->value_is_optional()) continue;
                if (equals == std::string::npos) {
                    waiting = option;
                } else {
                    note(*option, word.substr(equals + 1));
                }
            } else if (m_command == nullptr) {
                m_family = m_family.empty() ? word : m_family + " " + word;
                m_command = find_command(m_family);
            } else {
                m_last_positional = word;
                ++m_positional;
            }
        }
        return waiting;
    }

    void note(const OptionSpec& option, const std::string& word) {
        if (option.name == "--cache") m_cache = expand_user(word);
        if (option.name == "--project") m_project = word;
    }

    const OptionSpec* find_option(std::string_view name) const {
        const auto matches = [&](const OptionSpec& option) {
            return option.name == name || option.alias == name;
        };
        for (const auto& option : global_options()) {
            if (matches(option)) return &option;
        }
        if (m_command == nullptr) return nullptr;
        for (const auto& option : m_command->options) {
            if (matches(option)) return &option;
        }
        return nullptr;
    }

    // The first words, or the second ones of the family whose first word was read.
    void commands() const {
        if (!m_family.empty()) return members(m_family, "");
        all_first_words("");
    }

    void all_first_words(const std::string& before) const {
        for (const auto& word : first_words()) {
            const auto* command = find_command(word);
            offer(before + word,
                  command != nullptr ? std::string(command->summary) : join(second_words(word), ", "));
        }
    }

    void members(const std::string& first, const std::string& before) const {
        for (const auto* command : family(first))
            offer(before + std::string(command->name.substr(first.size() + 1)), command->summary);
    }

    void options() const {
        if (m_command != nullptr) {
            for (const auto& option : m_command->options)
                offer(std::string(option.name), option.help);
        }
        for (const auto& option : global_options())
            offer(std::string(option.name), option.help);
    }

    // `kind` is how the table names what is wanted; `before` stands on the line before `word` in the same
    // word.
    void value(std::string_view kind, std::string_view option, const std::string& word,
               const std::string& before) const {
        const auto any_of = [&](std::initializer_list<const char*> values) {
            for (const char* text : values)
                offer(before + text, "");
        };
        if (kind.find("REPO") != std::string_view::npos && kind.find('=') == std::string_view::npos)
            repositories(word, before);
        if (kind.find("DIR") != std::string_view::npos || option == "--torch") std::puts(":folders");
        if (kind == "MODEL" || kind.find("FILE") != std::string_view::npos || kind == "ORIGINAL")
            std::puts(":files");
        if (kind == "[COMMAND]" && m_positional == 1) members(m_last_positional, before);
        if (kind == "[COMMAND]" && m_positional == 0) all_first_words(before);
        if (kind == "SHELL") any_of({"bash", "zsh", "fish"});
        if (kind == "DEVICE") {
            for (const auto& type : layer::device_types())
                offer(before + type, "");
        }
        if (kind == "MODE")
            any_of({"inference", "training", "inference|torch-compile", "training|torch-compile"});
        if (option == "--color") any_of({"auto", "always", "never"});
        if (option == "--use-fallback") any_of({"none", "default", "all"});
        if (option == "--layer") layer(word, before);
        if (option == "--bind" && word.find('=') == std::string::npos) layer_names(before);
    }

    // NAME=REPO[@REF]:LAYER, one part after the other.
    void layer(const std::string& word, const std::string& before) const {
        const auto equals = word.find('=');
        if (equals == std::string::npos) return layer_names(before);
        const auto colon = word.find(':', equals);
        if (colon == std::string::npos)
            return repositories(word.substr(equals + 1), before + word.substr(0, equals + 1));
        std::string repo = word.substr(equals + 1, colon - equals - 1);
        std::optional<Reference> reference;
        if (const auto at = repo.find('@'); at != std::string::npos) {
            reference = Reference::parse(repo.substr(at + 1));
            repo.resize(at);
        }
        for (const auto& name : layers_in(RepoId::parse(repo), reference))
            offer(before + word.substr(0, colon + 1) + name, "");
    }

    void layer_names(const std::string& before) const {
        std::set<std::string> names;
        if (const auto project = project::find(m_project)) {
            for (const auto& entry : project->layers)
                names.insert(entry.name);
        }
        for (const auto& name : names)
            offer(before + name + "=", "");
    }

    void repositories(const std::string& word, const std::string& before) const {
        const hub::Cache cache(m_cache);
        if (const auto at = word.find('@'); at != std::string::npos) {
            for (const auto& [number, commit] : cache.versions(RepoId::parse(word.substr(0, at)))) {
                offer(before + word.substr(0, at) + "@v" + std::to_string(number), commit.brief());
            }
            return;
        }
        for (const auto& repo : cache.repositories())
            offer(before + repo.to_string(), "");
    }

    // The classes of the layers.py of any cached build.
    std::set<std::string> layers_in(const RepoId& repo, const std::optional<Reference>& reference) const {
        const hub::Cache cache(m_cache);
        const auto commit = reference ? cache.read_ref(repo, *reference) : std::nullopt;
        std::set<std::string> names;
        std::error_code error;
        const fs::path snapshots = cache.repo_folder(repo) / "snapshots";
        for (fs::recursive_directory_iterator at(snapshots, error), end; !error && at != end;
             at.increment(error)) {
            if (at->path().filename() != "layers.py" && at->path().parent_path().filename() != "layers")
                continue;
            if (at->path().extension() != ".py") continue;
            if (commit && at->path().string().find(commit->to_string()) == std::string::npos) continue;
            std::istringstream text(read_file(at->path()));
            for (std::string line; std::getline(text, line);) {
                if (!line.starts_with("class ")) continue;
                names.insert(line.substr(6, line.find_first_of("(: ", 6) - 6));
            }
        }
        return names;
    }

    void offer(const std::string& word, std::string_view description) const {
        if (!word.starts_with(m_last)) return;
        std::printf("%s%s%s\n", word.c_str(), description.empty() ? "" : "\t",
                    std::string(description).c_str());
    }

    std::vector<std::string> m_words;
    const std::string& m_last;
    const CommandSpec* m_command = nullptr;
    std::string m_family;
    std::string m_last_positional;
    int m_positional = 0;
    fs::path m_cache = hub::settings_from_environment().cache;
    fs::path m_project = ".";
};

}  // namespace

int run_complete(int argc, const char* const* argv) {
    try {
        std::vector<std::string> words(argv, argv + argc);
        if (words.empty()) words.emplace_back();
        Completer(std::move(words)).run();
        return 0;
    } catch (const std::exception&) {
        return 0;  // at the prompt there is no place for messages
    }
}

}  // namespace kernels::app
