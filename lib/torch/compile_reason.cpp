#include "compile_reason.hpp"

#include <regex>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/core/text.hpp"

namespace kernels::torchscript {
namespace {

// Stands for " of NAME" where the message tells what is called.
const std::string of_call = "{of call}";

// The schema of an op or a function: "aten::dropout(Tensor input, float p, bool train) -> Tensor:".
bool is_schema(std::string_view line) {
    return line.ends_with(':') && line.find("->") != std::string_view::npos &&
           line.find('(') != std::string_view::npos;
}

// The name in the first schema of the message, without namespace and overload; empty when there is none.
std::string callee_in(const std::string& message) {
    for (const auto line : split(message, '\n')) {
        const auto schema = trimmed(line);
        if (!is_schema(schema)) continue;
        std::string name(schema.substr(0, schema.find('(')));
        if (const auto colon = name.rfind(':'); colon != std::string::npos) name.erase(0, colon + 1);
        name = name.substr(0, name.find('.'));
        if (name.starts_with("hub_")) name.erase(0, std::string_view("hub_").size());
        return name == "__contains__" ? "`in`" : name;
    }
    return {};
}

std::string first_paragraph(const std::string& message) {
    std::string text;
    for (const auto line : split(message, '\n')) {
        const auto part = trimmed(line);
        if (part.empty() || part.starts_with("File \"")) {
            if (!text.empty()) break;
            continue;
        }
        // The schema of an op is long, and what does not fit it follows.
        if (text.empty() && is_schema(part)) continue;
        text += (text.empty() ? "" : " ") + std::string(part);
        if (text.size() > 300) break;
    }
    while (text.ends_with(':') || text.ends_with('.') || text.ends_with(' '))
        text.pop_back();
    return text;
}

// `text` itself where it says enough.
std::string in_our_words(const std::string& text) {
    static const std::vector<std::pair<std::regex, std::string>> known = [] {
        std::vector<std::pair<std::regex, std::string>> made;
        const auto say = [&](const char* pattern, const std::string& words) {
            made.emplace_back(std::regex(pattern), words);
        };
        say(R"re(.*Variable '(\w+)' previously had type (\S.*) but is now being assigned to a value of type (.+))re",
            "the variable $1 is of type $2 first and then of type $3; in TorchScript a variable keeps its "
            "type");
        say(R"re(.*Previous return statement returned a value of type (.+) but this return statement returns a value of type (.+))re",
            "it returns $2 here and $1 elsewhere; a TorchScript function has one type of result");
        say(R"re(.*Arguments for call are not valid.*)re",
            "the arguments of the call" + of_call + " fit none of its forms");
        say(R"re(.*'(.+)' object has no attribute or method '(\w+)'.*)re",
            ".$2 is taken of a value of type $1, which has none in TorchScript");
        say(R"re(.*Return value was annotated as having type (.+) but is actually of type (.+))re",
            "it returns $2 where $1 is expected");
        say(R"re(.*Expected a value of type '(.+)' for argument '(\w+)' but instead found type '(.+)'.*)re",
            "the argument $2" + of_call + " is of type $3, and $1 is taken");
        say(R"re(.*Could not cast value of type (.+) to bool)re",
            "a value of type $1 is used as a condition");
        say(R"re(.*cannot statically infer the expected size of a list in this context)re",
            "a list is unpacked whose length is known at run time only");
        say(R"re((\w+) is not defined in the (true|false) branch)re",
            "$1 gets its value in one branch of the condition only");
        return made;
    }();
    for (const auto& [pattern, words] : known) {
        if (std::regex_match(text, pattern)) return std::regex_replace(text, pattern, words);
    }
    return text;
}

}  // namespace

std::string compile_reason(const std::string& message) {
    std::string words = in_our_words(first_paragraph(message));
    static const std::regex optional("for argument '\\w+' but instead found type 'Optional\\[(\\w+)\\]'");
    std::smatch found;
    if (words.ends_with("fit none of its forms") && std::regex_search(message, found, optional))
        words += ": a " + found.str(1) + " among them may be None";
    if (const auto at = words.find(of_call); at != std::string::npos) {
        const std::string callee = callee_in(message);
        words.replace(at, of_call.size(), callee.empty() ? "" : " of " + callee);
    }
    return words;
}

}  // namespace kernels::torchscript
