#include "hub_resolver.hpp"

#include <torch/csrc/jit/frontend/error_report.h>
#include <torch/csrc/jit/frontend/sugared_value.h>

#include <algorithm>
#include <map>
#include <set>

#include "as_in_python.hpp"
#include "functional_values.hpp"
#include "graph_calls.hpp"
#include "kernels/core/text.hpp"
#include "module_values.hpp"
#include "number_operators.hpp"
#include "package_values.hpp"
#include "python_meaning.hpp"
#include "source/name_uses.hpp"
#include "tensor_values.hpp"
#include "torch_names.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;
using source::Symbol;

// What one of two computations gives, both of the same type.
template <typename Then, typename Else>
Value* chosen(Graph& graph, Value* condition, const SourceRange& where, const Then& then,
              const Else& otherwise) {
    Node* node = graph.insertNode(graph.create(prim::If, {condition}, 0));
    node->setSourceRange(where);
    const auto give = [&](const auto& compute) {
        torch::jit::Block* block = node->addBlock();
        const WithInsertPoint here(block);
        block->registerOutput(compute());
    };
    give(then);
    give(otherwise);
    return node->addOutput()->setType(node->blocks()[0]->outputs()[0]->type());
}

Value* bool_of(Value* truth, Graph& graph, const SourceRange& where) {
    return truth->type()->kind() == c10::TypeKind::BoolType ? truth
                                                            : graph.insert(aten::Bool, {truth}, {}, where);
}

Value* some_of(Value* value, Graph& graph) {
    const auto optional = value->type()->cast<c10::OptionalType>();
    return optional ? graph.insertUncheckedCast(value, optional->getElementType()) : value;
}

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

// The truth of a value; the value itself where TorchScript takes it for a condition, or refuses it as one.
Value* truth_of(Value* value, Graph& graph, const SourceRange& where) {
    const auto constant = [&](bool truth) { return graph.insertConstant(truth, where); };
    if (is_dtype(value)) return constant(true);
    switch (value->type()->kind()) {
        case c10::TypeKind::NoneType:
            return constant(false);
        case c10::TypeKind::DeviceObjType:
            return constant(true);
        case c10::TypeKind::TupleType:
            return constant(!value->type()->containedTypes().empty());
        case c10::TypeKind::ListType:
        case c10::TypeKind::DictType:
        case c10::TypeKind::StringType:
            return graph.insert(aten::gt, {graph.insert(aten::len, {value}, {}, where), 0}, {}, where);
        case c10::TypeKind::OptionalType: {
            Value* there = graph.insert(aten::__isnot__, {value, IValue()}, {}, where);
            const auto some = value->type()->expect<c10::OptionalType>()->getElementType();
            return chosen(
                graph, there, where,
                [&] {
                    return bool_of(truth_of(graph.insertUncheckedCast(value, some), graph, where), graph,
                                   where);
                },
                [&] { return constant(false); });
        }
        default:
            return value;
    }
}

Value* dtype_truth(Value* value, Graph& graph, const SourceRange& where) {
    if (value->type()->kind() == c10::TypeKind::IntType) return graph.insertConstant(true, where);
    const auto optional = value->type()->cast<c10::OptionalType>();
    return optional && optional->getElementType()->kind() == c10::TypeKind::IntType
               ? graph.insert(aten::__isnot__, {value, IValue()}, {}, where)
               : truth_of(value, graph, where);
}

// hub_or(a, b), hub_and(a, b): the side that Python gives; both are there already.
Value* side_of(bool is_or, Value* first, Value* second, Graph& graph, const SourceRange& where) {
    Value* truth = truth_of(first, graph, where);
    if (const auto known = toIValue(truth); known && known->isBool())
        return known->toBool() == is_or ? first : second;
    if (is_or) first = some_of(first, graph);
    const auto type = c10::unifyTypes(first->type(), second->type());
    if (!type) {
        refuse(where, std::string(is_or ? "`or`" : "`and`") + " gives a value of type " +
                          first->type()->repr_str() + " or of type " + second->type()->repr_str() +
                          "; in TorchScript a value has one type");
    }
    Value* result = chosen(
        graph, bool_of(truth, graph, where), where, [&] { return is_or ? first : second; },
        [&] { return is_or ? second : first; });
    return result->setType(*type);
}

// hub_bool(x): x, a side of `or` or `and` that must be a bool, since that is what TorchScript makes of them.
Value* only_bool(Value* value, const SourceRange& where) {
    if (value->type()->kind() != c10::TypeKind::BoolType) {
        refuse(where, "`or` and `and` give one of their sides in Python, here one of type " +
                          value->type()->repr_str() +
                          "; that can be compiled where the side in front is a variable");
    }
    return value;
}

// hub_join(a, b, …): tuples as a tuple; with lists among them, whose length nobody knows, a list of numbers.
Value* joined(const std::vector<Value*>& values, Graph& graph, const SourceRange& where) {
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
    if (all_tuples) return graph.insertNode(graph.createTuple(elements))->output();
    finish();
    return list;
}

// hub_reversed(x): what Python goes through backwards.
Value* reversed(const std::vector<Value*>& values, Graph& graph, const SourceRange& where) {
    Value* value = values.at(0);
    if (value->type()->kind() == c10::TypeKind::TupleType) {
        const auto elements = createTupleUnpack(value).vec();
        return graph.insertNode(graph.createTuple(std::vector<Value*>(elements.rbegin(), elements.rend())))
            ->output();
    }
    if (value->type()->kind() == c10::TypeKind::ListType)
        return graph.insert(aten::slice, {value, IValue(), IValue(), -1}, {}, where);
    if (value->type()->isSubtypeOf(*c10::TensorType::get()))
        return graph.insert(aten::flip, {value, std::vector<int64_t>{0}}, {}, where);
    refuse(where, "reversed of a " + value->type()->repr_str());
}

using Compute = Value* (*)(const std::vector<Value*>& given, Graph& graph, const SourceRange& where);

// What the lowered source calls where TorchScript has no words for it, by what becomes of the arguments.
const std::map<std::string, Compute>& computed() {
    static const std::map<std::string, Compute> all{
        // x as a condition
        {"hub_truth", [](const auto& given, auto& graph,
                         const auto& where) { return truth_of(given.at(0), graph, where); }},
        // the same of a dtype, one of which is 0 in TorchScript
        {"hub_dtype_truth", [](const auto& given, auto& graph,
                               const auto& where) { return dtype_truth(given.at(0), graph, where); }},
        {"hub_or", [](const auto& given, auto& graph,
                      const auto& where) { return side_of(true, given.at(0), given.at(1), graph, where); }},
        {"hub_and", [](const auto& given, auto& graph,
                       const auto& where) { return side_of(false, given.at(0), given.at(1), graph, where); }},
        // x, which is not None here
        {"hub_some", [](const auto& given, auto& graph, const auto&) { return some_of(given.at(0), graph); }},
        {"hub_bool",
         [](const auto& given, auto&, const auto& where) { return only_bool(given.at(0), where); }},
        {"hub_join", joined},
        // a value as it is, where its form would be taken for another
        {"hub_same", [](const auto& given, auto&, const auto&) { return given.at(0); }},
        {"hub_reversed", reversed},
        // a result as it is; all in front of it is there now as it was written
        {"hub_result",
         [](const auto& given, auto& graph, const auto&) {
             require_no_bools_with_tensors(graph);
             augment_in_place(graph);
             return given.at(0);
         }},
    };
    return all;
}

struct Computed final : SugaredValue {
    Computed(std::string by_name, Compute by) : name(std::move(by_name)), compute(by) {}
    std::string kind() const override { return name; }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue>,
                                       size_t) override {
        auto& graph = *method.graph();
        std::vector<Value*> given;
        for (const auto& argument : args)
            given.push_back(argument.value(graph));
        return std::make_shared<SimpleValue>(compute(given, graph, where));
    }
    std::string name;
    Compute compute;
};

// hub_floordiv, hub_remainder, hub_divmod: of whole numbers by functions that no divisor crashes.
struct Divider final : SugaredValue {
    Divider(std::string of, HubCompilation& in) : name(std::move(of)), compilation(in) {}
    std::string kind() const override { return name; }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue>,
                                       size_t n_binders) override {
        auto& graph = *method.graph();
        // `x //= y` of a tensor is computed in its place.
        const bool in_place = name.ends_with('_');
        const bool of_tensor = args.at(0).value(graph)->type()->isSubtypeOf(*c10::TensorType::get());
        const std::string base = in_place ? name.substr(0, name.size() - 1) : name;
        if (in_place && of_tensor) {
            const char* op = base == "hub_floordiv" ? "aten::floor_divide_" : "aten::remainder_";
            return std::make_shared<SimpleValue>(
                graph.insert(c10::Symbol::fromQualString(op), args, {}, where));
        }
        const bool whole = std::all_of(args.begin(), args.end(), [&](const NamedValue& argument) {
            return argument.value(graph)->type()->kind() == c10::TypeKind::IntType;
        });
        if (whole)
            return FunctionValue(compilation.functional(base)).call(where, method, args, {}, n_binders);
        if (args.at(0).value(graph)->type()->kind() == c10::TypeKind::StringType)
            refuse(where, "% of a text that is not written out");
        const auto op = c10::Symbol::fromQualString("aten::" + base.substr(std::string_view("hub_").size()));
        return std::make_shared<SimpleValue>(graph.insert(op, args, {}, where));
    }
    std::string name;
    HubCompilation& compilation;
};

// hub_round(x): Python makes a whole number of a float, and has no such thing of a tensor.
struct Rounder final : SugaredValue {
    explicit Rounder(HubCompilation& in) : compilation(in) {}
    std::string kind() const override { return "round"; }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue> kwargs,
                                       size_t n_binders) override {
        if (args.size() != 1 || !kwargs.empty()) refuse(where, "round to a number of digits");
        Value* value = args[0].value(*method.graph());
        switch (value->type()->kind()) {
            case c10::TypeKind::IntType:
                return std::make_shared<SimpleValue>(value);
            case c10::TypeKind::FloatType:
                return FunctionValue(compilation.functional("hub_round"))
                    .call(where, method, args, {}, n_binders);
            default:
                refuse(where, "round of a " + value->type()->repr_str() +
                                  ", which Python has not; of a tensor it is torch.round");
        }
    }
    HubCompilation& compilation;
};

// hub_flat(lists): their elements in one list.
struct Flattener final : SugaredValue {
    explicit Flattener(HubCompilation& in) : compilation(in) {}
    std::string kind() const override { return "a list comprehension with a condition"; }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue>,
                                       size_t n_binders) override {
        const auto lists = args.at(0).value(*method.graph())->type()->expect<c10::ListType>();
        return FunctionValue(&compilation.flattening(lists->getElementType()))
            .call(where, method, args, {}, n_binders);
    }
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
        if (name == "hub_round") return std::make_shared<Rounder>(*compilation);
        if (name == "hub_flat") return std::make_shared<Flattener>(*compilation);
        if (name == "hub_module") return std::make_shared<ModuleMaker>(*compilation);
        if (const auto known = computed().find(name); known != computed().end())
            return std::make_shared<Computed>(name, known->second);
        static const std::set<std::string> dividers = {"hub_floordiv", "hub_remainder", "hub_divmod",
                                                       "hub_floordiv_", "hub_remainder_"};
        if (dividers.contains(name)) return std::make_shared<Divider>(name, *compilation);
        if (auto op = number_operator(name)) return op;
        if (name == "hub_norm") return functional_value(name, *compilation);
        if (name == "hub_new_tensor") return tensor_value(name, *compilation);
        if (name == "hub_torch") return std::make_shared<BuiltinModule>("aten");
        const auto local = imports.find(name);
        const Symbol symbol =
            local != imports.end() ? local->second : function.package->lookup(*function.module, name);
        if (auto value = symbol_value(symbol, name, compilation, function, method, where)) return value;
        if (name.ends_with("Error") || name.ends_with("Exception"))
            return std::make_shared<ExceptionValue>(name);
        const auto known_place = where.file_line_col();
        const int line = known_place ? static_cast<int>(std::get<1>(*known_place)) : 0;
        if (const int loop =
                function.definition == nullptr ? 0 : source::loop_that_assigns(function, name, line);
            loop != 0)
            refuse(where, backquoted(name) + " gets its value only in the loop at line " +
                              std::to_string(loop) +
                              ", and TorchScript knows no such variable behind it; give it a value before "
                              "the loop");
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
