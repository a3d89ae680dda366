#include "compile_reason.hpp"

#include <regex>
#include <utility>
#include <vector>

namespace kernels::torchscript {

std::string in_our_words(const std::string& text) {
    static const std::vector<std::pair<std::regex, std::string>> known = [] {
        std::vector<std::pair<std::regex, std::string>> made;
        const auto say = [&](const char* pattern, const char* words) {
            made.emplace_back(std::regex(pattern), words);
        };
        say(R"re(.*Variable '(\w+)' previously had type (.+) but is now being assigned to a value of type (.+))re",
            "the variable $1 is of type $2 first and then of type $3; in TorchScript a variable keeps its "
            "type");
        say(R"re(.*Previous return statement returned a value of type (.+) but this return statement returns a value of type (.+))re",
            "it returns $2 here and $1 elsewhere; a TorchScript function has one type of result");
        say(R"re(.*Arguments for call are not valid.*)re",
            "the arguments of a call fit none of the forms of what is called");
        say(R"re(.*'(.+)' object has no attribute or method '(\w+)'.*)re",
            ".$2 is taken of a value of type $1, which has none");
        say(R"re(.*Return value was annotated as having type (.+) but is actually of type (.+))re",
            "it returns $2 where $1 is expected");
        say(R"re(.*Expected a value of type '(.+)' for argument '(\w+)' but instead found type '(.+)'.*)re",
            "the argument $2 is of type $3, and $1 is taken");
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

}  // namespace kernels::torchscript
