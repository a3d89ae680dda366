// From a `def` of a kernel's package to one that TorchScript's parser reads with the same meaning.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "hub_module.hpp"

namespace kernels::source {

/// The types that variables are declared with at their first assignment, as TorchScript spells them.
using Declared = std::map<std::string, std::string>;

/// How a parameter of the lowered function gets its value.
struct ParameterPlan {
    std::string name;
    std::string type;           ///< as TorchScript spells it; empty: it stays without one
    bool given = true;          ///< false: its default is computed at the head of the body
    std::string constant = {};  ///< not given: the value, which is known, in the place of the default
    bool module = false;        ///< it holds a module, whose members and calls the body uses
    bool keyword_only = false;
    bool optional = false;  ///< given: callers may leave it out, its default stands in the signature
};

struct LoweredFunction {
    std::string
        text;  ///< every statement on the line, counted from the `def`, on which it stands in the file
    /// Names that import statements of the body bind.
    std::map<std::string, Symbol> imports;
};

/// Lowers `function` under the name `name`. Docstrings, ctx, decorators, and branches that are dead outside
/// of torch.compile go; what TorchScript's own parser would read otherwise than Python is spelled out. Throws
/// Error(kernelize) "file:line: …" for what TorchScript has no words for.
LoweredFunction lower(const FunctionSource& function, const std::string& name,
                      const std::vector<ParameterPlan>& parameters, const Declared& declared = {});

/// An expression at the top of a module, as a function `name` without parameters.
LoweredFunction lower_constant(const FunctionSource& from, const Expression& value, const std::string& name);

/// TorchScript's spelling of a type annotation; empty when it has none.
std::string type_name(const Package& package, const Module& module, const Expression& annotation);

}  // namespace kernels::source
