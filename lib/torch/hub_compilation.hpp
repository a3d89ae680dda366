// The compilation of a hub layer: types by name, and the functions of the package that it calls.
#pragma once

#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/script.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernels/project/project.hpp"
#include "source/lower.hpp"

namespace kernels::torchscript {

/// What is being compiled or followed, as long as this lives.
class Active {
  public:
    Active(std::set<const void*>& all, const void* one)
        : m_all(all), m_one(one), m_is_new(all.insert(one).second) {}
    ~Active() {
        if (m_is_new) m_all.erase(m_one);
    }
    Active(const Active&) = delete;
    Active& operator=(const Active&) = delete;
    /// False in a circle.
    bool is_new() const noexcept { return m_is_new; }

  private:
    std::set<const void*>& m_all;
    const void* m_one;
    bool m_is_new;
};

/// One compilation: the functions of the package that were compiled on the way, and their types.
class HubCompilation : public std::enable_shared_from_this<HubCompilation> {
  public:
    HubCompilation(std::string op_namespace, std::map<std::string, project::AttributeValue> constants,
                   std::map<std::string, std::string> renamed)
        : m_op_namespace(std::move(op_namespace)),
          m_constants(std::move(constants)),
          m_renamed(std::move(renamed)) {}

    const std::string& op_namespace() const noexcept { return m_op_namespace; }
    const std::map<std::string, project::AttributeValue>& constants() const noexcept { return m_constants; }
    /// Whether a value of the type is the layer itself, for which the constants stand in.
    bool is_layer(const c10::TypePtr& type) const { return m_layer != nullptr && *m_layer == *type; }
    void set_layer(c10::ClassTypePtr type) { m_layer = std::move(type); }
    /// Whether the layer is of a C++ model, whose attributes no binding gives.
    bool is_native() const noexcept { return m_native; }
    void set_native(bool native) { m_native = native; }
    /// Whether the layer's attribute is None, though its class does not have it.
    bool is_none(const std::string& name) const { return m_none.contains(name); }
    void set_none(std::set<std::string> names) { m_none = std::move(names); }
    /// The class's name of an attribute of the hub layer.
    const std::string& attribute_name(const std::string& name) const {
        const auto known = m_renamed.find(name);
        return known == m_renamed.end() ? name : known->second;
    }

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
    /// What a function gives whatever it is given, such as a test of what a module has; nothing for others.
    static std::optional<bool> constant_result(torch::jit::Function& compiled);
    /// A constant of a module, as a function without parameters.
    torch::jit::Function& constant(const source::FunctionSource& from, const source::Symbol& symbol);
    /// One of torch.nn.functional's functions that are written in Python; nullptr for others.
    torch::jit::Function* functional(const std::string& name);
    /// A function that makes one list of this type of a list of them.
    torch::jit::Function& flattening(const c10::TypePtr& list);

    Active activate(const void* one) { return Active(m_active, one); }

    torch::jit::ResolverPtr resolver(const source::FunctionSource& function,
                                     std::map<std::string, source::Symbol> imports);

  private:
    torch::jit::Function& define(const source::FunctionSource& function,
                                 const source::LoweredFunction& lowered, int line);
    torch::jit::CompilationUnit& functional_unit();
    void define_functional(const char* text);

    std::string m_op_namespace;
    std::map<std::string, project::AttributeValue> m_constants;
    std::map<std::string, std::string> m_renamed;
    std::shared_ptr<torch::jit::CompilationUnit> m_unit = std::make_shared<torch::jit::CompilationUnit>();
    std::shared_ptr<torch::jit::CompilationUnit> m_functional;
    std::vector<c10::TypePtr> m_types;
    c10::ClassTypePtr m_layer;
    bool m_native = false;
    std::set<std::string> m_none;
    std::map<std::string, torch::jit::Function*> m_compiled;
    std::set<const void*> m_active;
};

/// The lowered function, with its results handed through `hub_result`: there all that it is compiled to can
/// be looked at before the compiler computes what is constant.
torch::jit::Def definition_of(const source::LoweredFunction& lowered, const std::string& file, int line,
                              bool method);

/// How the parameters of `function` get their values where it is called with these; `given[i]` is nullptr
/// where the default stands. Parameters that the plan leaves out are not in the function.
source::ParameterPlan plan_parameter(HubCompilation& compilation, const source::FunctionSource& function,
                                     const source::Parameter& parameter, const c10::TypePtr& given);

}  // namespace kernels::torchscript
