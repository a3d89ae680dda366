// What the names in a hub function's source are to TorchScript's compiler.
#pragma once

#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/csrc/jit/frontend/sugared_value.h>
#include <torch/script.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernels/project/project.hpp"
#include "source/lower.hpp"

namespace kernels::torchscript {

/// One compilation: the functions of the package that were compiled on the way, and their types.
class HubCompilation : public std::enable_shared_from_this<HubCompilation> {
  public:
    HubCompilation(std::string op_namespace, std::map<std::string, project::AttributeValue> constants)
        : m_op_namespace(std::move(op_namespace)), m_constants(std::move(constants)) {}

    const std::string& op_namespace() const noexcept { return m_op_namespace; }
    const std::map<std::string, project::AttributeValue>& constants() const noexcept { return m_constants; }

    /// TorchScript's spelling of a type, any type, in the text of a lowered function.
    std::string spell(const c10::TypePtr& type);
    /// The type of a spelling; nullptr when it is none.
    c10::TypePtr spelled(const std::string& name) const;
    /// The type of an annotation; nullptr when TorchScript has none for it.
    c10::TypePtr annotated(const source::FunctionSource& function,
                           const source::Expression* annotation) const;

    /// A function of the package for arguments of these types, compiled once for each list of plans.
    torch::jit::Function& function(const source::FunctionSource& function,
                                   const std::vector<source::ParameterPlan>& parameters);
    /// A constant of a module, as a function without parameters.
    torch::jit::Function& constant(const source::FunctionSource& from, const source::Symbol& symbol);
    /// One of torch.nn.functional's functions that are written in Python; nullptr for others.
    torch::jit::Function* functional(const std::string& name);

    torch::jit::ResolverPtr resolver(const source::FunctionSource& function,
                                     std::map<std::string, source::Symbol> imports);

  private:
    torch::jit::Function& define(const source::FunctionSource& function,
                                 const source::LoweredFunction& lowered, int line);

    std::string m_op_namespace;
    std::map<std::string, project::AttributeValue> m_constants;
    std::shared_ptr<torch::jit::CompilationUnit> m_unit = std::make_shared<torch::jit::CompilationUnit>();
    std::shared_ptr<torch::jit::CompilationUnit> m_functional;
    std::vector<c10::TypePtr> m_types;
    std::map<std::string, torch::jit::Function*> m_compiled;
    std::set<const void*> m_active;
};

/// How the parameters of `function` get their values where it is called with these; `given[i]` is nullptr
/// where the default stands. Parameters that the plan leaves out are not in the function.
source::ParameterPlan plan_parameter(HubCompilation& compilation, const source::FunctionSource& function,
                                     const source::Parameter& parameter, const c10::TypePtr& given);

/// `self` of a layer. Throws for attributes that it lacks and that no constant stands in for.
std::shared_ptr<torch::jit::Self> layer_self(const c10::ClassTypePtr& type,
                                             const HubCompilation& compilation);

/// Puts the bodies of called functions (not methods) in the place of their calls. Throws Error(kernelize)
/// when that makes the graph too large.
void inline_functions(torch::jit::Graph& graph);

/// "file:line" of the source.
std::string place(const torch::jit::SourceRange& where);

}  // namespace kernels::torchscript
