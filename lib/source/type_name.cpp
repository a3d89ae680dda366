// Type annotations.
#include <algorithm>
#include <array>
#include <map>

#include "lower.hpp"

namespace kernels::source {
namespace {

// The last part of the name of a type, where it is imported or not.
std::string base_name(const Package& package, const Module& module, const Expression& annotation) {
    std::string path = external_path(package, module, annotation);
    if (path.empty()) path = dotted(annotation);
    for (const std::string prefix : {"torch.", "typing.", "builtins.", "collections.abc."}) {
        if (path.starts_with(prefix)) path.erase(0, prefix.size());
    }
    return path;
}

std::string optional_of(const std::string& inner) {
    return inner.empty() || inner.starts_with("Optional[") ? inner : "Optional[" + inner + "]";
}

bool is_none(const Expression& annotation) {
    return annotation.is(Expr::constant, "None");
}

}  // namespace

std::string type_name(const Package& package, const Module& module, const Expression& annotation) {
    const auto type_of = [&](const Expression& inner) { return type_name(package, module, inner); };
    switch (annotation.kind) {
        case Expr::string: {
            // Annotations may be quoted.
            if (annotation.text.size() > 200) return {};
            try {
                const auto body = parse(annotation.text, module.file);
                const bool plain = body.size() == 1 && body[0]->kind == Statement::Kind::expression;
                return plain && body[0]->value(0).kind != Expr::string ? type_of(body[0]->value(0)) : "";
            } catch (const std::exception&) {
                return {};
            }
        }
        case Expr::binary: {
            if (annotation.text != "|") return {};
            if (is_none(annotation.part(1))) return optional_of(type_of(annotation.part(0)));
            return is_none(annotation.part(0)) ? optional_of(type_of(annotation.part(1))) : "";
        }
        case Expr::name:
        case Expr::attribute: {
            static const std::map<std::string, std::string> known = {
                {"Tensor", "Tensor"},     {"nn.Parameter", "Tensor"}, {"nn.parameter.Parameter", "Tensor"},
                {"Parameter", "Tensor"},  {"BoolTensor", "Tensor"},   {"LongTensor", "Tensor"},
                {"IntTensor", "Tensor"},  {"FloatTensor", "Tensor"},  {"int", "int"},
                {"float", "float"},       {"bool", "bool"},           {"str", "str"},
                {"dtype", "int"},         {"device", "Device"},       {"Size", "List[int]"},
                {"memory_format", "int"}, {"layout", "int"},          {"Generator", "Generator"}};
            const auto found = known.find(base_name(package, module, annotation));
            return found == known.end() ? "" : found->second;
        }
        case Expr::subscript: {
            const std::string outer = base_name(package, module, annotation.part(0));
            const Expression& index = annotation.part(1);
            std::vector<const Expression*> arguments;
            if (index.kind == Expr::tuple) {
                for (const auto& part : index.parts)
                    arguments.push_back(part.get());
            } else {
                arguments.push_back(&index);
            }
            if (outer == "Optional") return optional_of(type_of(index));
            if (outer == "Annotated" || outer == "Final") return type_of(*arguments.front());
            if (outer == "Union") {
                const auto none = std::find_if(arguments.begin(), arguments.end(),
                                               [](const auto* one) { return is_none(*one); });
                if (arguments.size() != 2 || none == arguments.end()) return {};
                return optional_of(type_of(*arguments[none == arguments.begin() ? 1 : 0]));
            }
            static const std::map<std::string, std::pair<std::string, std::size_t>> generic = {
                {"tuple", {"Tuple", 0}}, {"Tuple", {"Tuple", 0}},   {"list", {"List", 1}},
                {"List", {"List", 1}},   {"Sequence", {"List", 1}}, {"dict", {"Dict", 2}},
                {"Dict", {"Dict", 2}}};
            const auto found = generic.find(outer);
            if (found == generic.end()) return {};
            const auto& [name, count] = found->second;
            if (count != 0 && arguments.size() != count) return {};
            std::string text = name + "[";
            for (const auto* argument : arguments) {
                const std::string inner = type_of(*argument);
                if (inner.empty()) return {};  // also tuple[int, ...], whose length is not known
                text += (argument == arguments.front() ? "" : ", ") + inner;
            }
            return text + "]";
        }
        default:
            return {};
    }
}

}  // namespace kernels::source
