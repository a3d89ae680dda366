#include "package_values.hpp"

#include <algorithm>

#include "graph_calls.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "source/decorators.hpp"
#include "torch_names.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;
using source::Expr;
using source::ParameterPlan;
using source::Symbol;

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
            if (value != nullptr && wanted != nullptr) value = unwrapped(value, wanted, where);
            if (value == nullptr && !parameters[i].value)
                refuse(where, "the function " + function.name() + " is not given its argument " +
                                  parameters[i].name);
            plans.push_back(
                plan_parameter(*compilation, function, parameters[i], value ? value->type() : nullptr));
            if (value == nullptr) continue;
            // Flags decide in Python which statements run, and so the types of variables and results.
            if (const auto constant = toIValue(value); constant && constant->isBool()) {
                plans.back().given = false;
                plans.back().constant = constant->toBool() ? "True" : "False";
            } else {
                values.push_back(value);
            }
        }
        Function& compiled = compilation->function(function, plans);
        if (const auto known = HubCompilation::constant_result(compiled))
            return constant_value(IValue(*known), method, where);
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
            if (at == parameters.size() && ignores_keywords()) continue;
            if (at == parameters.size())
                refuse(where, "the function " + function.name() + " has no argument " + argument.name());
            if (values[at] != nullptr)
                refuse(where, "the function " + function.name() + " is given its argument " +
                                  argument.name() + " twice");
            values[at] = argument.value(graph);
        }
        return values;
    }

    // **kwargs that nothing in the body mentions.
    bool ignores_keywords() const {
        const auto& parameters = function.definition->parameters;
        const auto rest = std::find_if(parameters.begin(), parameters.end(),
                                       [](const auto& parameter) { return parameter.stars == 2; });
        if (rest == parameters.end()) return false;
        bool used = false;
        source::for_each_expression(function.definition->body, [&](const source::Expression& expression) {
            used = used || expression.is(source::Expression::Kind::name, rest->name);
        });
        return !used;
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

// What makes more of a record than its fields: "has an __init__ of its own"; else empty.
std::string unlike_its_fields(const source::Statement& definition) {
    const auto says = [](const source::Expression& call, const char* keyword) {
        return call.kind == Expr::call &&
               std::any_of(call.parts.begin() + 1, call.parts.end(),
                           [&](const auto& part) { return part->is(Expr::keyword, keyword); });
    };
    for (const auto& base : definition.values) {
        const std::string name = source::dotted(*base);
        if (name != "object" && !name.ends_with("NamedTuple"))
            return "has the base class " + (name.empty() ? "of line " + std::to_string(base->line) : name);
    }
    for (const auto& decorator : definition.decorators) {
        for (const char* keyword : {"init", "kw_only", "eq"}) {
            if (says(*decorator, keyword)) return std::string("is a dataclass with ") + keyword;
        }
    }
    for (const auto& member : definition.body) {
        static const std::set<std::string> harmless = {"__repr__", "__str__", "__hash__", "__reduce__"};
        if (member->kind == source::Statement::Kind::function && member->text.starts_with("__") &&
            !harmless.contains(member->text))
            return "has a method " + member->text;
        if (member->kind != source::Statement::Kind::annotate) continue;
        const auto& annotation = member->value(1);
        const std::string type =
            source::dotted(annotation.kind == Expr::subscript ? annotation.part(0) : annotation);
        for (const char* special : {"ClassVar", "InitVar", "KW_ONLY"}) {
            if (type.ends_with(special)) return "has a member of type " + type;
        }
        if (member->values.size() == 3 &&
            (says(member->value(2), "init") || says(member->value(2), "kw_only")))
            return "has a field that is given otherwise than by its place";
    }
    return {};
}

// A dataclass or NamedTuple: its fields, as a named tuple.
struct RecordValue final : SugaredValue {
    RecordValue(std::shared_ptr<HubCompilation> in, source::FunctionSource from_module,
                const source::Statement& record)
        : compilation(std::move(in)), from(std::move(from_module)), definition(record) {}
    std::string kind() const override { return "the class " + definition.text; }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue> kwargs,
                                       size_t) override {
        if (const std::string why = unlike_its_fields(definition); !why.empty())
            refuse(where, "the class " + definition.text + " " + why);
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
            if (wanted != nullptr) value = unwrapped(value, wanted, where);
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

// Any other class: methods that are written out in it are functions that get self, as in
// Base.forward(self, x).
struct ClassValue final : SugaredValue {
    ClassValue(std::shared_ptr<HubCompilation> in, source::FunctionSource from_function, Symbol class_symbol)
        : compilation(std::move(in)), from(std::move(from_function)), symbol(std::move(class_symbol)) {}
    std::string kind() const override { return "the class " + symbol.statement->text; }
    std::shared_ptr<SugaredValue> attr(const SourceRange& where, GraphFunction&,
                                       const std::string& field) override {
        const source::Statement* method = nullptr;
        bool plain = symbol.statement->decorators.empty();
        for (const auto& member : symbol.statement->body) {
            const bool function = member->kind == source::Statement::Kind::function;
            if (function && member->text == field) {
                plain = plain && method == nullptr && member->decorators.empty();
                method = member.get();
            } else if (!function && member->kind != source::Statement::Kind::annotate) {
                plain = plain && !mentions(*member, field);
            }
        }
        if (method == nullptr || !plain) refuse_as_value(where);
        return std::make_shared<PackageFunction>(
            compilation, source::FunctionSource{from.package, symbol.module, method, false, false});
    }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction&, at::ArrayRef<NamedValue>,
                                       at::ArrayRef<NamedValue>, size_t) override {
        refuse_as_value(where);
    }
    Value* asValue(const SourceRange& where, GraphFunction&) override { refuse_as_value(where); }

  private:
    // What else may give the name: `forward = other`, a definition under a condition.
    static bool mentions(const source::Statement& member, const std::string& name) {
        bool found = false;
        const auto look = [&](const source::Statement& one) {
            found = found || one.text == name;
            for (const auto& value : one.values)
                source::for_each_expression(
                    *value, [&](const source::Expression& e) { found = found || e.is(Expr::name, name); });
        };
        look(member);
        for (const source::Block* inner : {&member.body, &member.otherwise, &member.handlers})
            source::for_each_statement(*inner, look);
        return found;
    }
    [[noreturn]] void refuse_as_value(const SourceRange& where) const {
        refuse(where, kind() + " (" + symbol.module->file + ":" + std::to_string(symbol.line) +
                          ") is no autograd function, dataclass or NamedTuple");
    }

    std::shared_ptr<HubCompilation> compilation;
    source::FunctionSource from;
    Symbol symbol;
};

std::shared_ptr<SugaredValue> class_value(const Symbol& symbol,
                                          const std::shared_ptr<HubCompilation>& compilation,
                                          const source::FunctionSource& from) {
    if (const auto forward = source::autograd_forward(from, symbol))
        return std::make_shared<AutogradValue>(compilation, *forward);
    if (is_exception(*symbol.statement)) return std::make_shared<ExceptionValue>(symbol.statement->text);
    if (is_record(*symbol.statement)) {
        source::FunctionSource module{from.package, symbol.module, nullptr, false, false};
        return std::make_shared<RecordValue>(compilation, module, *symbol.statement);
    }
    return std::make_shared<ClassValue>(compilation, from, symbol);
}

}  // namespace

std::shared_ptr<SugaredValue> function_value(std::shared_ptr<HubCompilation> compilation,
                                             source::FunctionSource function) {
    return std::make_shared<PackageFunction>(std::move(compilation), std::move(function));
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
            return class_value(symbol, compilation, from);
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
                const auto active = compilation->activate(symbol.value);
                if (!active.is_new()) refuse(where, backquoted(name) + " stands for itself");
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

}  // namespace kernels::torchscript
