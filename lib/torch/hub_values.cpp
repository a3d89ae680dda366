#include "hub_values.hpp"

#include <torch/csrc/jit/frontend/error_report.h>
#include <torch/csrc/jit/frontend/parser.h>
#include <torch/csrc/jit/frontend/script_type_parser.h>

#include <algorithm>

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "torch_names.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;
using source::ParameterPlan;
using source::Symbol;

[[noreturn]] void refuse(const SourceRange& where, const std::string& why) {
    throw Error(ErrorCode::kernelize, place(where) + ": " + why);
}

Value* call_compiled(Graph& graph, Function& compiled, const std::vector<Value*>& values) {
    const auto& schema = compiled.getSchema();
    return graph.insertFunctionCall(
        &compiled, MatchedSchema{values, {schema.returns().at(0).type()}, {}, schema.name()});
}

bool is_module(const c10::TypePtr& type) {
    const auto class_type = type->cast<c10::ClassType>();
    return class_type && class_type->is_module();
}

// Reads the members of a module, and calls it. No SimpleValue: of those the compiler keeps only the graph
// value.
struct ModuleValue : SugaredValue {
    explicit ModuleValue(Value* module_value) : value(module_value) {}
    std::string kind() const override { return "module"; }
    Value* asValue(const SourceRange&, GraphFunction&) override { return value; }
    c10::ClassTypePtr type() const { return value->type()->expect<c10::ClassType>(); }
    bool hasAttr(const SourceRange&, GraphFunction&, const std::string& field) override {
        return type()->hasAttribute(field) || type()->findMethod(field) != nullptr;
    }
    std::shared_ptr<SugaredValue> attr(const SourceRange& where, GraphFunction& method,
                                       const std::string& field) override {
        if (!hasAttr(where, method, field))
            refuse(where, "the module " + type()->repr_str() + " has no attribute " + field);
        auto found = SimpleValue(value).attr(where, method, field);
        const bool holds_module = type()->hasAttribute(field) && is_module(type()->getAttribute(field));
        if (holds_module) return std::make_shared<ModuleValue>(found->asValue(where, method));
        return found;
    }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue> kwargs,
                                       size_t n_binders) override {
        return SimpleValue(value)
            .attr(where, method, "forward")
            ->call(where, method, args, kwargs, n_binders);
    }
    Value* value;
};

// `self`, whose missing attributes may be given as constants.
struct SelfValue final : ModuleValue {
    SelfValue(Value* own_value, const std::map<std::string, project::AttributeValue>& given)
        : ModuleValue(own_value), constants(given) {}
    bool hasAttr(const SourceRange& where, GraphFunction& method, const std::string& field) override {
        return constants.contains(field) || ModuleValue::hasAttr(where, method, field);
    }
    std::shared_ptr<SugaredValue> attr(const SourceRange& where, GraphFunction& method,
                                       const std::string& field) override {
        if (const auto given = constants.find(field); given != constants.end()) {
            const IValue constant =
                std::visit([](const auto& known) { return IValue(known); }, given->second);
            return constant_value(constant, method, where);
        }
        if (!hasAttr(where, method, field)) {
            refuse(where, "the kernel's layer needs the attribute " + field +
                              ", which this layer does not have; give it as attributes = { " + field +
                              " = … } in the binding");
        }
        return ModuleValue::attr(where, method, field);
    }
    const std::map<std::string, project::AttributeValue>& constants;
};

struct LayerSelf final : Self {
    LayerSelf(c10::ClassTypePtr class_type, const std::map<std::string, project::AttributeValue>& given)
        : type(std::move(class_type)), constants(given) {}
    std::shared_ptr<SugaredValue> makeSugared(Value* value) const override {
        value->setType(type);
        return std::make_shared<SelfValue>(value, constants);
    }
    c10::ClassTypePtr getClassType() const override { return type; }
    c10::ClassTypePtr type;
    const std::map<std::string, project::AttributeValue>& constants;
};

// hub_module(x): x with its members.
struct ModuleMaker final : SugaredValue {
    std::string kind() const override { return "hub_module"; }
    std::shared_ptr<SugaredValue> call(const SourceRange&, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue>,
                                       size_t) override {
        return std::make_shared<ModuleValue>(args.at(0).value(*method.graph()));
    }
};

// hub_join(a, b, …): tuples as a tuple; with lists among them, whose length nobody knows, a list of numbers.
struct Joiner final : SugaredValue {
    std::string kind() const override { return "hub_join"; }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue>,
                                       size_t) override {
        auto& graph = *method.graph();
        std::vector<Value*> values;
        for (const auto& argument : args)
            values.push_back(argument.value(graph));
        const bool all_tuples = std::all_of(values.begin(), values.end(), [](const Value* value) {
            return value->type()->kind() == c10::TypeKind::TupleType;
        });
        std::vector<Value*> elements;
        Value* list = nullptr;
        const auto finish = [&] {
            if (elements.empty()) return;
            for (const auto* element : elements) {
                if (element->type()->kind() != c10::TypeKind::IntType)
                    refuse(where, "* of a list among values that are no whole numbers");
            }
            Value* part = graph.insertNode(graph.createList(c10::IntType::get(), elements))->output();
            list = list == nullptr ? part : graph.insert(aten::add, {list, part}, {}, where);
            elements.clear();
        };
        for (Value* value : values) {
            if (value->type()->kind() == c10::TypeKind::TupleType) {
                for (Value* element : createTupleUnpack(value))
                    elements.push_back(element);
            } else if (value->type()->isSubtypeOf(*c10::ListType::ofInts())) {
                finish();
                list = list == nullptr ? value : graph.insert(aten::add, {list, value}, {}, where);
            } else {
                refuse(where, "* of a " + value->type()->repr_str());
            }
        }
        if (all_tuples)
            return std::make_shared<SimpleValue>(graph.insertNode(graph.createTuple(elements))->output());
        finish();
        return std::make_shared<SimpleValue>(list);
    }
};

// A function of the package: compiled for the types it is called with, as Python would.
struct PackageFunction final : SugaredValue {
    PackageFunction(std::shared_ptr<HubCompilation> in, source::FunctionSource source_function)
        : compilation(std::move(in)), function(std::move(source_function)) {}
    std::string kind() const override { return "the function " + function.name(); }

    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue> kwargs,
                                       size_t) override {
        const std::string language = source::kernel_language(function);
        if (!language.empty()) refuse(where, "it calls the " + language + " kernel " + function.name());
        auto& graph = *method.graph();
        std::vector<Value*> values;
        std::vector<ParameterPlan> plans;
        const auto given = bind(where, graph, args, kwargs);
        const auto& parameters = function.definition->parameters;
        for (std::size_t i = function.context ? 1 : 0; i < parameters.size(); ++i) {
            if (parameters[i].stars != 0) continue;
            Value* value = given[i];
            const auto wanted = compilation->annotated(function, parameters[i].annotation.get());
            if (value != nullptr && wanted != nullptr) value = adapted(value, wanted, where);
            if (value == nullptr && !parameters[i].value)
                refuse(where, "the function " + function.name() + " is not given its argument " +
                                  parameters[i].name);
            plans.push_back(
                plan_parameter(*compilation, function, parameters[i], value ? value->type() : nullptr));
            if (value != nullptr) values.push_back(value);
        }
        Function& compiled = compilation->function(function, plans);
        const bool without_grad = source::runs_without_grad(function);
        Value* before = nullptr;
        if (without_grad) {
            before = graph.insert(c10::Symbol::aten("is_grad_enabled"), {}, {}, where);
            graph.insert(c10::Symbol::aten("set_grad_enabled"), {false}, {}, where);
        }
        Value* result = call_compiled(graph, compiled, values);
        result->node()->setSourceRange(where);
        if (without_grad) graph.insert(c10::Symbol::aten("set_grad_enabled"), {before}, {}, where);
        return std::make_shared<SimpleValue>(result);
    }

    // The values by parameter, nullptr where the default stands.
    std::vector<Value*> bind(const SourceRange& where, Graph& graph, at::ArrayRef<NamedValue> args,
                             at::ArrayRef<NamedValue> kwargs) const {
        const auto& parameters = function.definition->parameters;
        std::vector<Value*> values(parameters.size(), nullptr);
        std::size_t next = function.context ? 1 : 0;
        for (const auto& argument : args) {
            if (next >= parameters.size() || parameters[next].stars != 0 || parameters[next].keyword_only)
                refuse(where, "the function " + function.name() + " is given too many arguments");
            values[next++] = argument.value(graph);
        }
        for (const auto& argument : kwargs) {
            std::size_t at = 0;
            while (at < parameters.size() &&
                   (parameters[at].stars != 0 || parameters[at].name != argument.name()))
                ++at;
            if (at == parameters.size())
                refuse(where, "the function " + function.name() + " has no argument " + argument.name());
            if (values[at] != nullptr)
                refuse(where, "the function " + function.name() + " is given its argument " +
                                  argument.name() + " twice");
            values[at] = argument.value(graph);
        }
        return values;
    }

    std::shared_ptr<SugaredValue> attr(const SourceRange& where, GraphFunction&,
                                       const std::string& field) override {
        refuse(where, "the attribute " + field + " of the function " + function.name());
    }
    // kernel[grid](…) too
    Value* asValue(const SourceRange& where, GraphFunction&) override {
        const std::string language = source::kernel_language(function);
        refuse(where, language.empty() ? "the function " + function.name() + " is used as a value"
                                       : "it calls the " + language + " kernel " + function.name());
    }
    std::shared_ptr<HubCompilation> compilation;
    source::FunctionSource function;
};

// An autograd function: its forward is what it computes.
struct AutogradValue final : SugaredValue {
    AutogradValue(std::shared_ptr<HubCompilation> in, source::FunctionSource forward_function)
        : compilation(std::move(in)), forward(std::move(forward_function)) {}
    std::string kind() const override { return "autograd function"; }
    std::shared_ptr<SugaredValue> attr(const SourceRange& where, GraphFunction&,
                                       const std::string& field) override {
        if (field == "apply") return std::make_shared<PackageFunction>(compilation, forward);
        refuse(where, "." + field + " of an autograd function");
    }
    std::shared_ptr<HubCompilation> compilation;
    source::FunctionSource forward;
};

// A dataclass or NamedTuple: its fields, as a named tuple.
struct RecordValue final : SugaredValue {
    RecordValue(std::shared_ptr<HubCompilation> in, source::FunctionSource from_module,
                const source::Statement& record)
        : compilation(std::move(in)), from(std::move(from_module)), definition(record) {}
    std::string kind() const override { return "the class " + definition.text; }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue> kwargs,
                                       size_t) override {
        auto& graph = *method.graph();
        std::vector<std::string> names;
        std::vector<TypePtr> types;
        std::vector<Value*> values;
        std::size_t used = 0;
        for (const auto& field : definition.body) {
            if (field->kind != source::Statement::Kind::annotate) continue;
            names.push_back(field->value(0).text);
            const TypePtr wanted = compilation->annotated(from, &field->value(1));
            Value* value = nullptr;
            if (used < args.size()) {
                value = args[used++].value(graph);
            } else if (const auto given =
                           std::find_if(kwargs.begin(), kwargs.end(),
                                        [&](const auto& one) { return one.name() == names.back(); });
                       given != kwargs.end()) {
                value = given->value(graph);
            } else if (field->values.size() == 3) {
                Symbol constant;
                constant.kind = Symbol::Kind::value;
                constant.module = from.module;
                constant.value = field->values[2].get();
                constant.line = field->line;
                Function& compiled = compilation->constant(from, constant);
                value = call_compiled(graph, compiled, {});
            } else {
                refuse(where, definition.text + " is not given its field " + names.back());
            }
            if (wanted != nullptr) value = adapted(value, wanted, where);
            types.push_back(value->type());
            values.push_back(value);
        }
        for (const auto& one : kwargs) {
            if (std::find(names.begin(), names.end(), one.name()) == names.end())
                refuse(where, definition.text + " has no field " + one.name());
        }
        if (used < args.size()) refuse(where, definition.text + " is given too many values");
        const auto type =
            c10::TupleType::createNamed(c10::QualifiedName("__torch__." + definition.text), names, types);
        return std::make_shared<SimpleValue>(graph.insertNode(graph.createTuple(values, type))->output());
    }
    std::shared_ptr<HubCompilation> compilation;
    source::FunctionSource from;
    const source::Statement& definition;
};

std::shared_ptr<SugaredValue> symbol_value(const Symbol& symbol, const std::string& name,
                                           const std::shared_ptr<HubCompilation>& compilation,
                                           const source::FunctionSource& from, GraphFunction& method,
                                           const SourceRange& where);

// A module of the package.
struct PackageModule final : SugaredValue {
    PackageModule(std::shared_ptr<HubCompilation> in, source::FunctionSource from_function,
                  Symbol module_symbol)
        : compilation(std::move(in)), from(std::move(from_function)), symbol(std::move(module_symbol)) {}
    std::string kind() const override { return "a module of the kernel"; }
    std::shared_ptr<SugaredValue> attr(const SourceRange& where, GraphFunction& method,
                                       const std::string& field) override {
        const auto found = from.package->attribute(symbol, field);
        return symbol_value(found, field, compilation, from, method, where);
    }
    std::shared_ptr<HubCompilation> compilation;
    source::FunctionSource from;
    Symbol symbol;
};

bool is_exception(const source::Statement& definition) {
    return std::any_of(definition.values.begin(), definition.values.end(), [](const auto& base) {
        const std::string name = source::dotted(*base);
        return name.ends_with("Error") || name.ends_with("Exception");
    });
}

bool is_record(const source::Statement& definition) {
    const auto names_record = [](const auto& expression) {
        const auto& callee =
            expression->kind == source::Expression::Kind::call ? expression->part(0) : *expression;
        const std::string name = source::dotted(callee);
        return name.ends_with("dataclass") || name.ends_with("NamedTuple");
    };
    return std::any_of(definition.decorators.begin(), definition.decorators.end(), names_record) ||
           std::any_of(definition.values.begin(), definition.values.end(), names_record);
}

std::shared_ptr<SugaredValue> class_value(const Symbol& symbol,
                                          const std::shared_ptr<HubCompilation>& compilation,
                                          const source::FunctionSource& from, const SourceRange& where) {
    if (const auto forward = source::autograd_forward(from, symbol))
        return std::make_shared<AutogradValue>(compilation, *forward);
    if (is_exception(*symbol.statement)) return std::make_shared<ExceptionValue>(symbol.statement->text);
    if (is_record(*symbol.statement)) {
        source::FunctionSource module{from.package, symbol.module, nullptr, false, false};
        return std::make_shared<RecordValue>(compilation, module, *symbol.statement);
    }
    refuse(where, "the class " + symbol.statement->text + " (" + symbol.module->file + ":" +
                      std::to_string(symbol.line) + ") is no autograd function, dataclass or NamedTuple");
}

std::shared_ptr<SugaredValue> symbol_value(const Symbol& symbol, const std::string& name,
                                           const std::shared_ptr<HubCompilation>& compilation,
                                           const source::FunctionSource& from, GraphFunction& method,
                                           const SourceRange& where) {
    switch (symbol.kind) {
        case Symbol::Kind::function:
            return std::make_shared<PackageFunction>(
                compilation,
                source::FunctionSource{from.package, symbol.module, symbol.statement, false, false});
        case Symbol::Kind::class_:
            return class_value(symbol, compilation, from, where);
        case Symbol::Kind::module:
        case Symbol::Kind::ops_module:
            return std::make_shared<PackageModule>(compilation, from, symbol);
        case Symbol::Kind::ops:
            return op_namespace_value(compilation->op_namespace());
        case Symbol::Kind::external:
            return external_value(symbol.path, *compilation, method, where);
        case Symbol::Kind::undecided:
            refuse(where, "what " + backquoted(name) + " is cannot be told: " + symbol.path);
        case Symbol::Kind::value: {
            // `name = a.b.c` is another name for it.
            const std::string path = source::dotted(*symbol.value);
            if (!path.empty()) {
                const auto parts = split(path, '.');
                const auto root = from.package->lookup(*symbol.module, std::string(parts.front()));
                if (root.kind == Symbol::Kind::value && root.value == symbol.value) return nullptr;
                auto value = symbol_value(root, std::string(parts.front()), compilation, from, method, where);
                for (std::size_t i = 1; value && i < parts.size(); ++i)
                    value = value->attr(where, method, std::string(parts[i]));
                if (value) return value;
            }
            Function& constant = compilation->constant(from, symbol);
            return std::make_shared<SimpleValue>(call_compiled(*method.graph(), constant, {}));
        }
        case Symbol::Kind::none:
            break;
    }
    return nullptr;
}

struct HubResolver final : Resolver {
    HubResolver(std::shared_ptr<HubCompilation> in, source::FunctionSource of,
                std::map<std::string, Symbol> local)
        : compilation(std::move(in)), function(std::move(of)), imports(std::move(local)) {}

    std::shared_ptr<SugaredValue> resolveValue(const std::string& spelled_name, GraphFunction& method,
                                               const SourceRange& where) override {
        constexpr std::string_view global = "hub_global_";
        const std::string name =
            spelled_name.rfind(global, 0) == 0 ? spelled_name.substr(global.size()) : spelled_name;
        if (name == "hub_module") return std::make_shared<ModuleMaker>();
        if (name == "hub_join") return std::make_shared<Joiner>();
        if (name == "hub_torch") return std::make_shared<BuiltinModule>("aten");
        const auto local = imports.find(name);
        const Symbol symbol =
            local != imports.end() ? local->second : function.package->lookup(*function.module, name);
        if (auto value = symbol_value(symbol, name, compilation, function, method, where)) return value;
        if (name.ends_with("Error") || name.ends_with("Exception"))
            return std::make_shared<ExceptionValue>(name);
        return nullptr;
    }
    TypePtr resolveType(const std::string& name, const SourceRange&) override {
        return compilation->spelled(name);
    }

    std::shared_ptr<HubCompilation> compilation;
    source::FunctionSource function;
    std::map<std::string, Symbol> imports;
};

constexpr std::string_view type_prefix = "hub_type_";

}  // namespace

std::string HubCompilation::spell(const c10::TypePtr& type) {
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
    auto text = std::make_shared<Source>(lowered.text, function.file(), static_cast<std::size_t>(line));
    Parser parser(text);
    auto defined = m_unit->define(std::nullopt, {}, {}, {Def(parser.parseFunction(false))},
                                  {resolver(function, lowered.imports)}, nullptr);
    inline_functions(*toGraphFunction(*defined.front()).graph());
    return *defined.front();
}

Function& HubCompilation::function(const source::FunctionSource& function,
                                   const std::vector<ParameterPlan>& parameters) {
    std::string key = std::to_string(reinterpret_cast<std::uintptr_t>(function.definition));
    for (const auto& parameter : parameters)
        key += ";" + parameter.name + (parameter.given ? ":" : "=") + parameter.type;
    if (const auto known = m_compiled.find(key); known != m_compiled.end()) return *known->second;
    if (!m_active.insert(function.definition).second) {
        throw Error(ErrorCode::kernelize, function.file() + ":" + std::to_string(function.line()) +
                                              ": the function " + backquoted(function.name()) +
                                              " calls itself");
    }
    const std::string name =
        "hub_function_" + std::to_string(m_compiled.size()) + "_" + std::to_string(m_active.size());
    Function& compiled = define(function, source::lower(function, name, parameters), function.line());
    m_active.erase(function.definition);
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
    if (!m_active.insert(symbol.value).second)
        throw Error(ErrorCode::kernelize, at + "the value stands on itself");
    source::FunctionSource owner{from.package, symbol.module, nullptr, false, false};
    const std::string name =
        "hub_constant_" + std::to_string(m_compiled.size()) + "_" + std::to_string(m_active.size());
    Function& compiled = define(owner, source::lower_constant(owner, *symbol.value, name), symbol.line);
    m_active.erase(symbol.value);
    m_compiled.emplace(key, &compiled);
    return compiled;
}

Function* HubCompilation::functional(const std::string& name) {
    if (!m_functional) {
        m_functional = std::make_shared<CompilationUnit>();
        m_functional->define(std::nullopt, functional_source(), nativeResolver(), nullptr);
    }
    return m_functional->find_function(c10::QualifiedName(name));
}

ResolverPtr HubCompilation::resolver(const source::FunctionSource& function,
                                     std::map<std::string, Symbol> imports) {
    return std::make_shared<HubResolver>(shared_from_this(), function, std::move(imports));
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

std::shared_ptr<Self> layer_self(const c10::ClassTypePtr& type, const HubCompilation& compilation) {
    return std::make_shared<LayerSelf>(type, compilation.constants());
}

std::string place(const SourceRange& where) {
    if (const auto known = where.file_line_col())
        return std::get<0>(*known) + ":" + std::to_string(std::get<1>(*known));
    return "the kernel's source";
}

void inline_functions(Graph& graph) {
    constexpr std::size_t largest_graph = 50000;
    std::size_t size = 0;
    std::vector<Block*> waiting{graph.block()};
    std::vector<Node*> calls;
    while (!waiting.empty()) {
        Block* block = waiting.back();
        waiting.pop_back();
        for (Node* node : block->nodes()) {
            ++size;
            for (Block* inner : node->blocks())
                waiting.push_back(inner);
            if (node->kind() == prim::CallFunction) calls.push_back(node);
        }
    }
    for (Node* call : calls) {
        Node* callee = call->input(0)->node();
        auto* function =
            tryToGraphFunction(*callee->output()->type()->expect<c10::FunctionType>()->function());
        if (function == nullptr) continue;
        for (const Node* node : function->graph()->nodes())
            size += node->blocks().empty() ? 1 : 10;
        if (size > largest_graph)
            throw Error(ErrorCode::kernelize, place(call->sourceRange()) + ": the layer becomes too large");
        call->removeInput(0);
        inlineCallTo(call, function);
        if (callee->output()->uses().empty()) callee->destroy();
    }
}

}  // namespace kernels::torchscript
