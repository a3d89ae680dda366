#include "original_source.hpp"

#include <torch/csrc/jit/api/function_impl.h>

#include <algorithm>
#include <regex>
#include <sstream>
#include <unordered_map>

#include "kernels/core/error.hpp"
#include "source/syntax.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

// What scripted code was made from is Python's source, and of traced code it is the call stack, with lines
// such as "model.py(12): forward".
bool is_call_stack(const std::string& text) {
    static const std::regex call(R"(^[^\n]*\(\d+\): )");
    return std::regex_search(text, call);
}

// The text that the code of the node was made from; empty when that is not known.
std::string origin_of(const Node& node) {
    const auto origin = node.sourceRange().findSourceRangeThatGenerated();
    return origin && origin->source() != nullptr ? origin->source()->text_str().str() : std::string();
}

// Compiled in this process.
bool is_new(const Node& node) {
    const auto range = node.sourceRange();
    const auto file = range.source() != nullptr ? range.source()->filename() : std::nullopt;
    return file && !file->starts_with("code/");
}

// A method's text is indented as it is in its class.
std::string without_indent(const std::string& text) {
    const auto indent = std::min(text.find_first_not_of(" \t"), text.size());
    std::istringstream lines(text);
    std::string result;
    for (std::string line; std::getline(lines, line);) {
        line.erase(0, std::min(line.find_first_not_of(" \t"), indent));
        result += line + "\n";
    }
    return result;
}

// Those of the `def` that has the function's name and parameters; nothing when the text has none such.
std::optional<std::set<std::string>> keyword_only_in(const std::string& text, const Function& function) {
    source::Block block;
    try {
        block = source::parse(without_indent(text), "the layer's source");
    } catch (const Error&) {
        return std::nullopt;
    }
    const auto& arguments = function.getSchema().arguments();
    const auto is_same = [](const source::Parameter& parameter, const c10::Argument& argument) {
        return parameter.name == argument.name();
    };
    for (const auto& statement : block) {
        const auto& parameters = statement->parameters;
        if (statement->kind != source::Statement::Kind::function || statement->text != function.name() ||
            parameters.empty() ||
            !std::equal(parameters.begin() + 1, parameters.end(), arguments.begin() + 1, arguments.end(),
                        is_same)) {
            continue;
        }
        std::set<std::string> names;
        for (const auto& parameter : parameters)
            if (parameter.keyword_only) names.insert(parameter.name);
        return names;
    }
    return std::nullopt;
}

// Asks of the graph's nodes, in their order, what each one tells, until there is an answer: `ask` is given
// the text that the node's code was made from, and an empty one for code that was compiled in this process.
// Nodes that tell nothing are passed over.
template <typename Ask>
auto first_answer(const Graph& graph, const Ask& ask) -> decltype(ask(std::string())) {
    for (const Node* node : graph.nodes()) {
        const auto text = origin_of(*node);
        if (text.empty() && !is_new(*node)) continue;
        if (auto answer = ask(text)) return answer;
    }
    return std::nullopt;
}

using Names = std::optional<std::set<std::string>>;

struct Answers {
    std::unordered_map<std::string, bool> traced;
    std::unordered_map<std::string, Names> keyword_only;
};

thread_local std::optional<Answers> remembered_answers;

// Equal for classes that differ in the number which torch gave them alone.
std::string key_of(const Graph& graph) {
    constexpr std::string_view mangling = "___torch_mangle_";
    const std::string text = graph.toString(false);
    std::string key;
    std::size_t from = 0;
    for (auto found = text.find(mangling); found != std::string::npos; found = text.find(mangling, from)) {
        key.append(text, from, found - from);
        from = std::min(text.find_first_not_of("0123456789", found + mangling.size()), text.size());
    }
    return key.append(text, from);
}

// `ask` is called where the answer is not known.
template <typename Answer, typename Ask>
Answer answer_of(std::unordered_map<std::string, Answer> Answers::*answers, const Graph& graph,
                 const Ask& ask) {
    if (!remembered_answers) return ask();
    auto& remembered = (*remembered_answers).*answers;
    const auto key = key_of(graph);
    const auto found = remembered.find(key);
    return found == remembered.end() ? remembered.emplace(key, ask()).first->second : found->second;
}

Names read_keyword_only(const Function& function) {
    std::set<std::string> names;
    for (const auto& argument : function.getSchema().arguments())
        if (argument.kwarg_only()) names.insert(argument.name());
    if (!names.empty()) return names;
    const auto ask = [&](const std::string& text) -> std::optional<Names> {
        if (text.empty()) return Names(names);
        if (is_call_stack(text)) return Names();
        if (auto known = keyword_only_in(text, function)) return known;
        return std::nullopt;
    };
    return first_answer(*toGraphFunction(function).graph(), ask).value_or(Names());
}

}  // namespace

AskedOnce::AskedOnce() {
    remembered_answers.emplace();
}

AskedOnce::~AskedOnce() {
    remembered_answers.reset();
}

bool may_be_traced(const Graph& graph) {
    const auto ask = [](const std::string& text) { return std::optional(is_call_stack(text)); };
    return answer_of(&Answers::traced, graph, [&] { return first_answer(graph, ask).value_or(true); });
}

std::optional<std::set<std::string>> keyword_only_parameters(const Function& function) {
    return answer_of(&Answers::keyword_only, *toGraphFunction(function).graph(),
                     [&] { return read_keyword_only(function); });
}

}  // namespace kernels::torchscript
