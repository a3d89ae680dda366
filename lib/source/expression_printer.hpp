// Expressions as TorchScript's parser reads them.
#pragma once

#include <set>
#include <string>

#include "lower.hpp"

namespace kernels::source {

/// What the names in a function's body are.
struct Scope {
    const FunctionSource& function;
    std::set<std::string> locals;          ///< parameters and what the body assigns
    std::string context;                   ///< the ctx of an autograd function
    std::string keywords;                  ///< **kwargs, which are none
    std::set<std::string> context_values;  ///< what the body keeps on ctx
    std::map<std::string, Symbol> imports = {};
    std::map<std::string, bool> flags = {};              ///< parameters whose value is known
    std::map<std::string, const Expression*> once = {};  ///< what the variables get that are assigned to once

    /// The path of an expression outside the package, imports of the body included.
    std::string path(const Expression& expression) const;
};

/// A local variable that stands for ctx.NAME.
std::string context_variable(const std::string& name);

/// Throws Error(kernelize) with file and line for what TorchScript has not.
std::string print(const Expression& expression, const Scope& scope);

/// The same of what people read, whose words need not be Python's.
std::string print_message(const Expression& expression, const Scope& scope);

/// The truth of a variable or what hangs on one.
std::string print_truth(const Expression& value, const Scope& scope);

/// The same where only its truth counts: of a list or a text, that it is not empty.
std::string print_condition(const Expression& expression, const Scope& scope);

/// What a condition is known to be: constants, and whether torch.compile or TorchScript is at work (no: the
/// layer does what it does in eager mode).
std::optional<bool> known_truth(const Expression& condition, const Scope& scope);

std::string quoted(const std::string& text);

}  // namespace kernels::source
