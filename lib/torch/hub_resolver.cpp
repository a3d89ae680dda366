#include "hub_resolver.hpp"

#include <torch/csrc/jit/frontend/error_report.h>
#include <torch/csrc/jit/frontend/sugared_value.h>

#include <algorithm>

#include "graph_calls.hpp"
#include "module_values.hpp"
#include "package_values.hpp"
#include "torch_names.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;
using source::Symbol;

// hub_module(x): x with its members.
struct ModuleMaker final : SugaredValue {
    explicit ModuleMaker(const HubCompilation& in) : compilation(in) {}
    std::string kind() const override { return "hub_module"; }
    std::shared_ptr<SugaredValue> call(const SourceRange&, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue>,
                                       size_t) override {
        return module_value(args.at(0).value(*method.graph()), compilation);
    }
    const HubCompilation& compilation;
};

// hub_truth(x): x as a condition. What TorchScript itself takes for one, and what it refuses, stays as it is.
struct Truth final : SugaredValue {
    std::string kind() const override { return "hub_truth"; }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue>,
                                       size_t) override {
        auto& graph = *method.graph();
        Value* value = args.at(0).value(graph);
        switch (value->type()->kind()) {
            case c10::TypeKind::NoneType:
                return constant_value(IValue(false), method, where);
            case c10::TypeKind::TupleType:
                return constant_value(IValue(!value->type()->containedTypes().empty()), method, where);
            case c10::TypeKind::ListType:
            case c10::TypeKind::DictType:
            case c10::TypeKind::StringType: {
                Value* length = graph.insert(aten::len, {value}, {}, where);
                return std::make_shared<SimpleValue>(graph.insert(aten::gt, {length, 0}, {}, where));
            }
            default:
                return std::make_shared<SimpleValue>(value);
        }
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

// hub_floordiv, hub_remainder, hub_divmod: of whole numbers by functions that no divisor crashes.
struct Divider final : SugaredValue {
    Divider(std::string of, HubCompilation& in) : name(std::move(of)), compilation(in) {}
    std::string kind() const override { return name; }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue>,
                                       size_t n_binders) override {
        auto& graph = *method.graph();
        const bool whole = std::all_of(args.begin(), args.end(), [&](const NamedValue& argument) {
            return argument.value(graph)->type()->kind() == c10::TypeKind::IntType;
        });
        if (whole)
            return FunctionValue(compilation.functional(name)).call(where, method, args, {}, n_binders);
        if (args.at(0).value(graph)->type()->kind() == c10::TypeKind::StringType)
            refuse(where, "% of a text that is not written out");
        const auto op = c10::Symbol::fromQualString("aten::" + name.substr(std::string_view("hub_").size()));
        return std::make_shared<SimpleValue>(graph.insert(op, args, {}, where));
    }
    std::string name;
    HubCompilation& compilation;
};

struct HubResolver final : Resolver {
    HubResolver(std::shared_ptr<HubCompilation> in, source::FunctionSource of,
                std::map<std::string, Symbol> local)
        : compilation(std::move(in)), function(std::move(of)), imports(std::move(local)) {}

    std::shared_ptr<SugaredValue> resolveValue(const std::string& spelled_name, GraphFunction& method,
                                               const SourceRange& where) override {
        constexpr std::string_view global = "hub_global_";
        const std::string name =
            spelled_name.rfind(global, 0) == 0 ? spelled_name.substr(global.size()) : spelled_name;
        if (name == "hub_module") return std::make_shared<ModuleMaker>(*compilation);
        if (name == "hub_truth") return std::make_shared<Truth>();
        if (name == "hub_join") return std::make_shared<Joiner>();
        if (name == "hub_floordiv" || name == "hub_remainder" || name == "hub_divmod")
            return std::make_shared<Divider>(name, *compilation);
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
}  // namespace

ResolverPtr hub_resolver(std::shared_ptr<HubCompilation> compilation, source::FunctionSource function,
                         std::map<std::string, Symbol> imports) {
    return std::make_shared<HubResolver>(std::move(compilation), std::move(function), std::move(imports));
}

}  // namespace kernels::torchscript
