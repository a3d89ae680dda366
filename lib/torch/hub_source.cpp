#include "hub_source.hpp"

#include <algorithm>
#include <regex>

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"
#include "python_lines.hpp"

namespace kernels::torchscript {
namespace {

using Lines = std::vector<std::string>;

// Regular expressions and TorchScript's compiler recurse over what they read. No real layer comes near these.
constexpr std::size_t longest_line = 2000;
constexpr std::size_t deepest_indentation = 120;
constexpr std::size_t longest_function = 1000;  // lines

[[noreturn]] void refuse(const std::string& file, std::size_t line, const std::string& why) {
    throw Error(ErrorCode::kernelize, file + ":" + std::to_string(line + 1) + ": " + why);
}

bool starts_string(std::string_view statement) {
    return statement.starts_with('"') || statement.starts_with('\'') || statement.starts_with("r\"");
}

// The types that TorchScript spells otherwise than today's Python.
std::string modern_types(std::string text) {
    for (const auto& [from, to] :
         {std::pair{"tuple", "Tuple"}, std::pair{"list", "List"}, std::pair{"dict", "Dict"}}) {
        text = std::regex_replace(text, std::regex(std::string("\\b") + from + "\\["), std::string(to) + "[");
    }
    text = std::regex_replace(text, std::regex(R"(([\w.]+(?:\[[^\]]*\])?)\s*\|\s*None)"), "Optional[$1]");
    return std::regex_replace(text, std::regex(R"(\btyping\.)"), "");
}

struct Definition {
    std::string signature;  ///< "def name(…) -> X:" on one line
    Lines body;             ///< indentation as in the file
    std::size_t line = 0;
};

Definition read_definition(const Lines& lines, std::size_t line) {
    Definition definition;
    definition.line = line;
    const LineRange range = block(lines, line);
    if (range.end - range.begin > longest_function) {
        throw Error(ErrorCode::kernelize, "line " + std::to_string(line + 1) + ": a function of more than " +
                                              std::to_string(longest_function) + " lines");
    }
    const std::size_t head_end = statement_end(lines, line);
    for (std::size_t i = line; i < head_end; ++i) {
        std::string part(trimmed(lines[i]));
        if (const auto comment = part.find(" #"); comment != std::string::npos) part.resize(comment);
        definition.signature += (definition.signature.empty() ? "" : " ") + part;
    }
    definition.signature = modern_types(definition.signature);
    std::size_t first = head_end;
    while (first < range.end && is_blank(lines[first]))
        ++first;
    if (first < range.end && starts_string(trimmed(lines[first]))) first = statement_end(lines, first);
    definition.body.assign(lines.begin() + static_cast<std::ptrdiff_t>(first),
                           lines.begin() + static_cast<std::ptrdiff_t>(range.end));
    return definition;
}

// Text between the outermost brackets of a signature or call.
std::string between_brackets(const std::string& text) {
    const auto open = text.find('(');
    int depth = 0;
    for (std::size_t i = open; i < text.size(); ++i) {
        if (text[i] == '(') ++depth;
        if (text[i] == ')' && --depth == 0) return text.substr(open + 1, i - open - 1);
    }
    return {};
}

std::string parameter_name(const std::string& parameter) {
    return std::string(trimmed(parameter.substr(0, parameter.find_first_of(":="))));
}

bool mentions(std::string_view text, const std::string& name) {
    return std::regex_search(text.begin(), text.end(), std::regex("\\b" + name + "\\b"));
}

// Finds the `class NAME` statement; lines.size() when there is none.
std::size_t find_class(const Lines& lines, const std::string& name) {
    const std::regex head("class\\s+" + name + "\\s*[(:].*");
    for (const std::size_t line : statements(lines, {0, lines.size()})) {
        if (std::regex_match(lines[line], head)) return line;
    }
    return lines.size();
}

LineRange class_body(const Lines& lines, std::size_t line) {
    return {statement_end(lines, line), block(lines, line).end};
}

std::optional<std::size_t> find_method(const Lines& lines, LineRange body, const std::string& name) {
    for (const std::size_t line : statements(lines, body)) {
        if (trimmed(lines[line]).starts_with("def " + name + "(")) return line;
    }
    return std::nullopt;
}

// The forward of an autograd function with the given arguments, as statements that end by giving `result` its
// value: what only backward needs (everything on ctx) goes.
Lines lower_autograd(const Lines& lines, const std::string& file, const std::string& name,
                     std::size_t class_line, const std::vector<std::string>& arguments,
                     const std::string& indent, const std::string& result) {
    const auto method = find_method(lines, class_body(lines, class_line), "forward");
    if (!method) refuse(file, class_line, "the autograd function " + name + " has no forward");
    const Definition forward = read_definition(lines, *method);
    const auto parameters = split_arguments(between_brackets(forward.signature));
    if (parameters.empty() || arguments.size() > parameters.size() - 1) {
        refuse(file, *method, name + ".forward takes other arguments than it is given");
    }
    const std::string context = parameter_name(parameters.front());
    Lines out;
    for (std::size_t i = 0; i + 1 < parameters.size(); ++i) {
        const std::string& parameter = parameters[i + 1];
        const auto equals = parameter.find('=');
        if (i >= arguments.size() && equals == std::string::npos) {
            refuse(file, *method, name + ".forward is not given its argument " + parameter_name(parameter));
        }
        out.push_back(
            indent + "hub_argument_" + std::to_string(i) + " = " +
            (i < arguments.size() ? arguments[i] : std::string(trimmed(parameter.substr(equals + 1)))));
    }
    for (std::size_t i = 0; i + 1 < parameters.size(); ++i) {
        out.push_back(indent + parameter_name(parameters[i + 1]) + " = hub_argument_" + std::to_string(i));
    }
    const std::size_t own_indent = forward.body.empty() ? 0 : indentation(forward.body.front());
    bool returned = false;
    for (std::size_t line = 0; line < forward.body.size();) {
        const std::size_t end = statement_end(forward.body, line);
        const std::string statement(trimmed(forward.body[line]));
        if (!is_blank(forward.body[line])) {
            if (returned) refuse(file, *method, name + ".forward returns before its end");
            if (statement.starts_with(context + ".")) {
                line = end;
                continue;
            }
            for (std::size_t i = line; i < end; ++i) {
                std::string text =
                    indent + forward.body[i].substr(std::min(own_indent, indentation(forward.body[i])));
                if (i == line && (statement.starts_with("return ") || statement == "return")) {
                    if (indentation(forward.body[i]) != own_indent) {
                        refuse(file, *method, name + ".forward returns inside a branch");
                    }
                    text = indent + result + std::string(statement.substr(std::string("return").size()));
                    returned = true;
                }
                if (mentions(text, context)) refuse(file, *method, name + ".forward needs " + context);
                out.push_back(std::move(text));
            }
        }
        line = end;
    }
    if (!returned) refuse(file, *method, name + ".forward returns nothing");
    return out;
}

// Replaces `return F.apply(…)` and `x = F.apply(…)` by F's own forward.
Lines lower_body(const Lines& lines, const std::string& file, const Lines& body, std::size_t line_of_def) {
    static const std::regex apply(R"(^(return|[A-Za-z_]\w*\s*=)\s*([A-Za-z_]\w*)\.apply\()");
    Lines out;
    for (std::size_t line = 0; line < body.size();) {
        const std::size_t end = statement_end(body, line);
        std::string statement;
        for (std::size_t i = line; i < end; ++i)
            statement += (i == line ? "" : "\n") + body[i];
        std::smatch match;
        const std::string text(trimmed(statement));
        if (std::regex_search(text, match, apply)) {
            const std::size_t class_line = find_class(lines, match[2].str());
            if (class_line == lines.size()) {
                refuse(file, line_of_def, match[2].str() + " is no autograd function of this file");
            }
            const std::string indent(indentation(body[line]), ' ');
            const std::string call = text.substr(match[0].str().size() - 1);
            const auto lowered = lower_autograd(lines, file, match[2].str(), class_line,
                                                split_arguments(between_brackets(call)), indent,
                                                match[1].str() == "return" ? "return" : match[1].str());
            out.insert(out.end(), lowered.begin(), lowered.end());
        } else {
            if (text.find(".apply(") != std::string::npos) {
                refuse(file, line_of_def,
                       "an autograd function is called inside an expression: " + backquoted(text));
            }
            out.insert(out.end(), body.begin() + static_cast<std::ptrdiff_t>(line),
                       body.begin() + static_cast<std::ptrdiff_t>(end));
        }
        line = end;
    }
    return out;
}

FunctionSource to_source(const Lines& lines, const std::string& file, std::size_t line) {
    const Definition definition = read_definition(lines, line);
    FunctionSource source{definition.signature + "\n", file, static_cast<int>(line) + 1, false};
    const Lines body = lower_body(lines, file, definition.body, line);
    source.from_autograd = body != definition.body;
    const std::size_t own = body.empty() ? 0 : indentation(body.front());
    for (const auto& text : body) {
        source.text +=
            (is_blank(text) ? std::string() : "    " + text.substr(std::min(own, indentation(text)))) + "\n";
    }
    return source;
}

}  // namespace

HubModule HubModule::load(const std::filesystem::path& folder, bool package) {
    HubModule module;
    const std::vector<std::string> places = package
                                                ? std::vector<std::string>{"__init__.py"}
                                                : std::vector<std::string>{"layers.py", "layers/__init__.py"};
    for (const auto& place : places) {
        const auto text = read_file_if_exists(folder / place);
        if (!text) continue;
        module.m_file = place;
        for (const auto line : split(*text, '\n')) {
            const std::size_t at = module.m_lines.size();
            if (line.size() > longest_line) {
                refuse(place, at, "the line has more than " + std::to_string(longest_line) + " characters");
            }
            if (!is_blank(line) && indentation(line) > deepest_indentation)
                refuse(place, at, "the source is indented too deeply");
            module.m_lines.emplace_back(line.ends_with('\r') ? line.substr(0, line.size() - 1) : line);
        }
        return module;
    }
    throw Error(ErrorCode::kernelize, folder.string() + ": the kernel has no " + join(places, " or "),
                "it defines no layers");
}

std::vector<std::string> HubModule::classes() const {
    std::vector<std::string> names;
    static const std::regex head(R"(class\s+(\w+)\s*[(:].*)");
    std::smatch match;
    for (const std::size_t line : statements(m_lines, {0, m_lines.size()})) {
        if (std::regex_match(m_lines[line], match, head)) names.push_back(match[1].str());
    }
    return names;
}

LayerSource HubModule::layer(const std::string& name) const {
    const bool is_name = std::all_of(name.begin(), name.end(), [](char c) {
        return c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    });
    const std::size_t line = is_name ? find_class(m_lines, name) : m_lines.size();
    if (line == m_lines.size()) {
        const auto known = classes();
        const auto hint = did_you_mean(name, known);
        throw Error(ErrorCode::not_found, m_file + ": there is no layer " + backquoted(name),
                    hint.empty() ? "it defines " + join(known, ", ") : hint);
    }
    LayerSource source;
    const std::string bases = between_brackets(m_lines[line]);
    if (!std::regex_search(bases, std::regex(R"(\bModule\b)")))
        source.violations.emplace_back("is no torch.nn.Module");
    static const std::regex member(R"(^(\w+)\s*(?::[^=]*)?(=\s*(.*))?$)");
    for (const std::size_t at : statements(m_lines, class_body(m_lines, line))) {
        const std::string text(trimmed(m_lines[at]));
        std::smatch match;
        if (starts_string(text) || text == "pass" || text.starts_with('@')) continue;
        if (text.starts_with("def forward(")) {
            source.forward = to_source(m_lines, m_file, at);
        } else if (text.starts_with("def __init__(")) {
            source.violations.emplace_back("has a constructor");
        } else if (text.starts_with("def ")) {
            source.violations.push_back("has the further method " + text.substr(4, text.find('(') - 4));
        } else if (std::regex_match(text, match, member)) {
            if (!match[2].matched) continue;  // an annotation alone declares, it defines nothing
            if (match[1] == "has_backward") {
                source.has_backward = match[3].str().starts_with("True");
            } else if (match[1] == "can_torch_compile") {
                source.can_torch_compile = match[3].str().starts_with("True");
            } else {
                source.violations.push_back("has the further member " + match[1].str());
            }
        }
    }
    if (source.forward.text.empty()) source.violations.emplace_back("has no forward of its own");
    return source;
}

std::optional<FunctionSource> HubModule::function(const std::string& name) const {
    for (const std::size_t line : statements(m_lines, {0, m_lines.size()})) {
        if (!m_lines[line].starts_with("def " + name + "(")) continue;
        if (line > 0 && trimmed(m_lines[line - 1]).starts_with("@triton")) {
            refuse(m_file, line, name + " is a Triton kernel, which TorchScript cannot call");
        }
        return to_source(m_lines, m_file, line);
    }
    return std::nullopt;
}

std::optional<double> HubModule::number(const std::string& name) const {
    const std::regex assignment(name + R"(\s*(?::\s*\w+\s*)?=\s*([-+0-9.eE]+)\s*(#.*)?)");
    std::smatch match;
    for (const auto& line : m_lines) {
        if (std::regex_match(line, match, assignment)) return std::stod(match[1].str());
    }
    return std::nullopt;
}

}  // namespace kernels::torchscript
