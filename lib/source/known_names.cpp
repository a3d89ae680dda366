#include "known_names.hpp"

#include <algorithm>
#include <set>

namespace kernels::source {

bool is_torchscript_name(const std::string& name) {
    static const std::set<std::string> names = {
        "print",   "tuple",   "float",      "int",      "complex",  "bool",      "str",
        "getattr", "hasattr", "isinstance", "range",    "zip",      "enumerate", "rangelist",
        "sorted",  "list",    "dict",       "len",      "abs",      "max",       "min",
        "ord",     "chr",     "bin",        "round",    "hex",      "oct",       "pow",
        "all",     "any",     "sum",        "divmod",   "hash",     "input",     "reversed",
        "id",      "type",    "Tensor",     "Optional", "List",     "Tuple",     "Dict",
        "Any",     "Device",  "Generator",  "NoneType", "Ellipsis", "nan",       "inf"};
    return names.contains(name);
}

std::string number_operator(const std::string& op) {
    if (op == "**") return "hub_pow";
    if (op == "&") return "hub_bitand";
    if (op == "|") return "hub_bitor";
    return op == "^" ? "hub_bitxor" : "";
}

bool takes_shape(const Expression& callee) {
    static const std::set<std::string> names = {"reshape",   "view",      "expand",   "permute", "repeat",
                                                "new_empty", "new_zeros", "new_ones", "empty",   "zeros",
                                                "ones",      "rand",      "randn",    "tile"};
    return (callee.kind == Expr::attribute || callee.kind == Expr::name) && names.contains(callee.text);
}

bool takes_generator(const Expression& e) {
    static const std::set<std::string> names = {"any", "all", "sum", "max", "min", "sorted", "list"};
    return e.parts.size() == 2 && e.part(1).kind == Expr::comprehension && !e.part(1).text.empty() &&
           e.part(0).kind == Expr::name && names.contains(e.part(0).text);
}

bool is_dtype_parameter(const std::string& name, const Scope& scope) {
    const auto& all = scope.function.definition->parameters;
    return std::any_of(all.begin(), all.end(), [&](const auto& parameter) {
        if (parameter.name != name || !parameter.annotation) return false;
        bool found = false;
        for_each_expression(*parameter.annotation, [&](const Expression& part) {
            found = found || scope.path(part) == "torch.dtype";
        });
        return found;
    });
}

}  // namespace kernels::source
