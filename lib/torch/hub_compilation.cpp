#include "hub_compilation.hpp"

#include <torch/csrc/jit/frontend/parser.h>
#include <torch/csrc/jit/frontend/script_type_parser.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>

#include "functional_values.hpp"
#include "graph_calls.hpp"
#include "hub_resolver.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "module_values.hpp"
#include "source/function_scope.hpp"
#include "source/tuple_sizes.hpp"
#include "torch_names.hpp"
#include "variable_types.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;
using source::ParameterPlan;
using source::Symbol;

constexpr std::string_view type_prefix = "hub_type_";

// The parts of a type; tuples share what they hold, so each is looked at once.
std::size_t parts_of(const c10::TypePtr& type, std::map<const c10::Type*, std::size_t>& known) {
    if (type->kind() == c10::TypeKind::ClassType) return 1;
    if (const auto one = known.find(type.get()); one != known.end()) return one->second;
    std::size_t sum = 1;
    for (const auto& part : type->containedTypes())
        sum = std::min(sum + parts_of(part, known), source::most_parts + 1);
    return known[type.get()] = sum;
}

Expr checked_result(const SourceRange& where, const Expr& value) {
    return Apply::create(where, Var::create(where, Ident::create(where, "hub_result")),
                         List<Expr>::create(where, {value}), List<Attribute>::create(where, {}));
}

TreeRef with_checked_results(const TreeRef& tree) {
    if (tree->isAtom()) return tree;
    if (tree->kind() != TK_RETURN) return tree->map(with_checked_results);
    return Return::create(tree->range(), checked_result(tree->range(), Return(tree).expr()));
}

}  // namespace

Def definition_of(const source::LoweredFunction& lowered, const std::string& file, int line, bool method) {
    Parser parser(std::make_shared<Source>(lowered.text, file, static_cast<std::size_t>(line)));
    const Def def(with_checked_results(parser.parseFunction(method)));
    // What returns nothing ends here.
    const auto& where = def.range();
    const auto none = Expr(Compound::create(TK_NONE, where, {}));
    std::vector<Stmt> statements;
    for (const auto& statement : def.statements())
        statements.push_back(statement);
    statements.push_back(ExprStmt::create(where, checked_result(where, none)));
    return Def::create(where, def.name(), def.decl(), List<Stmt>::create(where, statements));
}

std::string HubCompilation::spell(const c10::TypePtr& type) {
    std::map<const c10::Type*, std::size_t> known;
    if (parts_of(type, known) > source::most_parts) {
        throw Error(ErrorCode::kernelize, "a function of the kernel takes a tuple of tuples with more than " +
                                              std::to_string(source::most_parts) + " parts");
    }
    std::size_t index = 0;
    while (index < m_types.size() && *m_types[index] != *type)
        ++index;
    if (index == m_types.size()) m_types.push_back(type);
    return std::string(type_prefix) + std::to_string(index);
}

c10::TypePtr HubCompilation::spelled(const std::string& name) const {
    if (name.rfind(type_prefix, 0) != 0) return nullptr;
    const std::string digits = name.substr(type_prefix.size());
    if (digits.empty() || digits.size() > 6 || digits.find_first_not_of("0123456789") != std::string::npos)
        return nullptr;
    const std::size_t index = std::stoul(digits);
    return index < m_types.size() ? m_types[index] : nullptr;
}

c10::TypePtr HubCompilation::annotated(const source::FunctionSource& function,
                                       const source::Expression* annotation) const {
    if (annotation == nullptr) return nullptr;
    const std::string name = source::type_name(*function.package, *function.module, *annotation);
    return name.empty() ? nullptr : ScriptTypeParser().parseType(name);
}

Function& HubCompilation::define(const source::FunctionSource& function,
                                 const source::LoweredFunction& lowered, int line) {
    constexpr std::size_t deepest = 40;
    if (m_active.size() >= deepest) {
        throw Error(ErrorCode::kernelize,
                    function.file() + ":" + std::to_string(line) + ": calls are nested too deeply");
    }
    auto defined =
        m_unit->define(std::nullopt, {}, {}, {definition_of(lowered, function.file(), line, false)},
                       {resolver(function, lowered.imports)}, nullptr);
    inline_functions(*toGraphFunction(*defined.front()).graph());
    return *defined.front();
}

Function& HubCompilation::function(const source::FunctionSource& function,
                                   const std::vector<ParameterPlan>& parameters) {
    std::string key = std::to_string(reinterpret_cast<std::uintptr_t>(function.definition));
    for (const auto& parameter : parameters)
        key += ";" + parameter.name + (parameter.given ? ":" : "=") + parameter.type + parameter.constant;
    if (const auto known = m_compiled.find(key); known != m_compiled.end()) return *known->second;
    // Each list of types and flags makes a function of its own.
    constexpr std::size_t most_functions = 2000;
    if (m_compiled.size() >= most_functions) {
        throw Error(ErrorCode::kernelize, function.file() + ":" + std::to_string(function.line()) +
                                              ": the layer becomes too large: it calls " +
                                              backquoted(function.name()) + " in too many ways");
    }
    const auto active = activate(function.definition);
    if (!active.is_new()) {
        throw Error(ErrorCode::kernelize, function.file() + ":" + std::to_string(function.line()) +
                                              ": the function " + backquoted(function.name()) +
                                              " calls itself");
    }
    const std::string name =
        "hub_function_" + std::to_string(m_compiled.size()) + "_" + std::to_string(m_active.size());
    Function& compiled =
        with_variable_types(*this, function, [&](const source::Declared& declared) -> Function& {
            const std::string unique = name + "_" + std::to_string(declared.size());
            return define(function, source::lower(function, unique, parameters, declared), function.line());
        });
    m_compiled.emplace(key, &compiled);
    return compiled;
}

Function& HubCompilation::constant(const source::FunctionSource& from, const Symbol& symbol) {
    const std::string key = "constant " + std::to_string(reinterpret_cast<std::uintptr_t>(symbol.value));
    if (const auto known = m_compiled.find(key); known != m_compiled.end()) return *known->second;
    using Kind = source::Expression::Kind;
    const std::string at = symbol.module->file + ":" + std::to_string(symbol.line) + ": ";
    source::for_each_expression(*symbol.value, [&](const source::Expression& part) {
        static const std::set<std::string> pure = {"float", "int", "bool", "max", "min", "abs"};
        const std::string callee = part.kind == Kind::call ? source::dotted(part.part(0)) : "";
        if (part.kind == Kind::call && !pure.contains(callee) && callee.rfind("math.", 0) != 0)
            throw Error(ErrorCode::kernelize, at + "a value that a call gives when the module is imported");
        if (part.kind == Kind::list || part.kind == Kind::dictionary)
            throw Error(ErrorCode::kernelize,
                        at + "a list or dictionary of the module, which Python code may change");
    });
    const auto active = activate(symbol.value);
    if (!active.is_new()) throw Error(ErrorCode::kernelize, at + "the value stands on itself");
    source::FunctionSource owner{from.package, symbol.module, nullptr, false, false};
    const std::string name =
        "hub_constant_" + std::to_string(m_compiled.size()) + "_" + std::to_string(m_active.size());
    Function& compiled = define(owner, source::lower_constant(owner, *symbol.value, name), symbol.line);
    m_compiled.emplace(key, &compiled);
    return compiled;
}

std::optional<bool> HubCompilation::constant_result(Function& compiled) {
    if (compiled.getSchema().returns().at(0).type()->kind() != c10::TypeKind::BoolType) return std::nullopt;
    auto graph = toGraphFunction(compiled).graph()->copy();
    ConstantPropagation(graph);
    EliminateDeadCode(graph);
    for (const Node* node : graph->nodes()) {
        if (node->kind() != prim::Constant) return std::nullopt;
    }
    const auto result = toIValue(graph->outputs().at(0));
    return result ? std::optional(result->toBool()) : std::nullopt;
}

// Of what they call each other nothing is left: layers live longer than they do.
void HubCompilation::define_functional(const char* text) {
    m_functional->define(std::nullopt, text, nativeResolver(), nullptr);
    for (auto* function : m_functional->get_functions())
        inline_functions(*toGraphFunction(*function).graph());
}

CompilationUnit& HubCompilation::functional_unit() {
    if (!m_functional) {
        m_functional = std::make_shared<CompilationUnit>();
        define_functional(functional_source());
    }
    return *m_functional;
}

Function* HubCompilation::functional(const std::string& name) {
    auto& unit = functional_unit();
    if (auto* known = unit.find_function(c10::QualifiedName(name))) return known;
    constexpr const char* of_the_rest = "nll_loss";
    if (unit.find_function(c10::QualifiedName(of_the_rest)) == nullptr)
        define_functional(pooling_and_loss_source());
    return unit.find_function(c10::QualifiedName(name));
}

Function& HubCompilation::flattening(const c10::TypePtr& list) {
    struct Types final : Resolver {
        explicit Types(const HubCompilation& in) : compilation(in) {}
        TypePtr resolveType(const std::string& name, const SourceRange&) override {
            return compilation.spelled(name);
        }
        const HubCompilation& compilation;
    };
    const std::string type = spell(list);
    const std::string name = "hub_flat_" + type;
    auto& unit = functional_unit();
    if (auto* known = unit.find_function(c10::QualifiedName(name))) return *known;
    const std::string text =
        "def " + name + "(parts: List[" + type + "]) -> " + type + ":\n    whole: " + type +
        " = []\n    for part in parts:\n        whole.extend(part)\n" + "    return whole\n";
    unit.define(std::nullopt, text, std::make_shared<Types>(*this), nullptr);
    return unit.get_function(c10::QualifiedName(name));
}

ResolverPtr HubCompilation::resolver(const source::FunctionSource& function,
                                     std::map<std::string, Symbol> imports) {
    return hub_resolver(shared_from_this(), function, std::move(imports));
}

ParameterPlan plan_parameter(HubCompilation& compilation, const source::FunctionSource& function,
                             const source::Parameter& parameter, const c10::TypePtr& given) {
    ParameterPlan plan;
    plan.name = parameter.name;
    const auto wanted = compilation.annotated(function, parameter.annotation.get());
    const bool changes =
        source::assigns(function, parameter.name) && !source::replaces_none(function, parameter.name);
    if (given == nullptr) {
        // The type of the default; where None may be replaced by a value, that it may be either.
        plan.given = false;
        if (parameter.value && parameter.value->is(source::Expression::Kind::constant, "None") && changes)
            plan.type =
                compilation.spell(c10::OptionalType::create(wanted ? wanted : c10::TensorType::get()));
        return plan;
    }
    // What is given is known better than what the annotation allows, unless the variable takes other values.
    const bool fits = wanted != nullptr && given->isSubtypeOf(*wanted);
    plan.type = compilation.spell(fits && changes ? wanted : given);
    plan.module = is_module(given);
    return plan;
}

}  // namespace kernels::torchscript
