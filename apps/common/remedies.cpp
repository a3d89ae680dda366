#include "common/remedies.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "kernels/core/text.hpp"

namespace kernels::app {
namespace {

struct RemedyOption {
    Remedy remedy;
    std::string_view option;
    std::string_view value;       ///< behind the option: "=all"
    bool by_leaving_out = false;  ///< the remedy is not to give the option
};

constexpr std::array remedy_options = {
    RemedyOption{Remedy::cache, "--cache", " DIR"},
    RemedyOption{Remedy::online, "--offline", "", true},
    RemedyOption{Remedy::output, "--output", " DIR"},
    RemedyOption{Remedy::torch, "--torch", " PATH|VERSION"},
    RemedyOption{Remedy::device, "--device", " DEVICE"},
    RemedyOption{Remedy::target, "--target", " SPEC"},
    RemedyOption{Remedy::skip_device_check, "--no-device-check", ""},
    RemedyOption{Remedy::download, "--download", ""},
    RemedyOption{Remedy::fallback_default, "--use-fallback", "=default"},
    RemedyOption{Remedy::fallback_all, "--use-fallback", "=all"},
};

// The option of this command, if it has one that would change something.
std::optional<std::string> option_for(Remedy remedy, const Arguments& arguments) {
    const auto* found = std::find_if(remedy_options.begin(), remedy_options.end(),
                                     [&](const RemedyOption& entry) { return entry.remedy == remedy; });
    if (found == remedy_options.end()) return std::nullopt;
    const auto is_it = [&](const OptionSpec& spec) { return spec.name == found->option; };
    const auto own =
        arguments.command() != nullptr ? arguments.command()->options : std::span<const OptionSpec>{};
    const auto global = global_options();
    if (std::none_of(own.begin(), own.end(), is_it) && std::none_of(global.begin(), global.end(), is_it))
        return std::nullopt;
    if (found->by_leaving_out) {
        if (!arguments.has(found->option)) return std::nullopt;
        return "without " + std::string(found->option);
    }
    const bool is_switch = found->value.empty();
    if (is_switch && arguments.has(found->option)) return std::nullopt;
    return std::string(found->option) + std::string(found->value);
}

}  // namespace

std::string with_options(std::string text, std::span<const Remedy> remedies, const Arguments& arguments) {
    std::vector<std::string> options;
    for (const Remedy remedy : remedies) {
        auto option = option_for(remedy, arguments);
        if (option && std::find(options.begin(), options.end(), *option) == options.end())
            options.push_back(std::move(*option));
    }
    return options.empty() ? text : text + " (" + join(options, ", ") + ")";
}

std::string hint_of(const Error& error, const Arguments& arguments) {
    return with_options(error.hint(), error.remedies(), arguments);
}

std::vector<std::string> lines_of(const Error& error, const Arguments& arguments) {
    std::vector<std::string> lines{error.what()};
    for (const auto& line : error.details())
        lines.push_back("  " + line);
    if (auto hint = hint_of(error, arguments); !hint.empty()) lines.push_back("  hint: " + hint);
    return lines;
}

}  // namespace kernels::app
