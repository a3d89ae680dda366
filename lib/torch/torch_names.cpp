#include "torch_names.hpp"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/jit/frontend/builtin_functions.h>
#include <torch/csrc/jit/frontend/error_report.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <cmath>
#include <map>
#include <set>

#include "attention_functions.hpp"
#include "functional_values.hpp"
#include "graph_calls.hpp"
#include "hub_compilation.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "number_operators.hpp"
#include "tensor_values.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

// An op of a kernel. Python converts what it is given; TorchScript does not.
struct OpValue final : SugaredValue {
    explicit OpValue(Symbol op) : symbol(op) {}
    std::string kind() const override { return symbol.toQualString(); }
    std::shared_ptr<SugaredValue> attr(const SourceRange&, GraphFunction&, const std::string&) override {
        return shared_from_this();  // .default and other overloads: the arguments choose
    }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue> kwargs,
                                       size_t n_binders) override {
        std::vector<NamedValue> given(args.begin(), args.end());
        std::vector<NamedValue> named(kwargs.begin(), kwargs.end());
        const auto operators = getAllOperatorsFor(symbol);
        if (operators.size() == 1) adapt(operators.front()->schema(), given, named, *method.graph(), where);
        return BuiltinFunction(symbol, std::nullopt).call(where, method, given, named, n_binders);
    }
    Symbol symbol;
};

// An operator of torch, which takes whole numbers for floats where Python's does.
struct TorchOperator final : SugaredValue {
    explicit TorchOperator(Symbol op) : symbol(op) {}
    std::string kind() const override { return symbol.toQualString(); }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue> kwargs,
                                       size_t n_binders) override {
        const auto with = [&](at::ArrayRef<NamedValue> given, at::ArrayRef<NamedValue> named) {
            return BuiltinFunction(symbol, std::nullopt).call(where, method, given, named, n_binders);
        };
        try {
            return with(args, kwargs);
        } catch (const ErrorReport&) {
            for (const auto& op : getAllOperatorsFor(symbol)) {
                std::vector<NamedValue> given(args.begin(), args.end());
                std::vector<NamedValue> named(kwargs.begin(), kwargs.end());
                if (!give_floats(op->schema(), given, named, *method.graph(), where)) continue;
                try {
                    return with(given, named);
                } catch (const ErrorReport&) {  // then another form fits, or the first message says why none
                }
            }
            throw;
        }
    }

  private:
    // Whether one was given.
    static bool give_floats(const c10::FunctionSchema& schema, std::vector<NamedValue>& given,
                            std::vector<NamedValue>& named, Graph& graph, const SourceRange& where) {
        bool any = false;
        adapt(schema, given, named, graph, where, [&](Value* value, const c10::TypePtr& wanted) {
            const bool whole = value->type()->kind() == c10::TypeKind::IntType;
            any = any || (whole && c10::FloatType::get()->isSubtypeOf(*wanted) &&
                          wanted->kind() != c10::TypeKind::NumberType);
            return value;
        });
        return any;
    }
    Symbol symbol;
};

struct OpNamespace final : SugaredValue {
    explicit OpNamespace(std::string namespace_name) : name(std::move(namespace_name)) {}
    std::string kind() const override { return "torch.ops." + name; }
    std::shared_ptr<SugaredValue> attr(const SourceRange& where, GraphFunction&,
                                       const std::string& field) override {
        const auto symbol = Symbol::fromQualString(name + "::" + field);
        if (!getAllOperatorsFor(symbol).empty()) return std::make_shared<OpValue>(symbol);
        std::vector<std::string> known;
        for (const auto& op : c10::Dispatcher::singleton().getAllOpNames()) {
            if (op.name.rfind(name + "::", 0) != 0) continue;
            const std::string one = op.name.substr(name.size() + 2);
            // An implementation alone, for an operator that nobody has declared, is none that can be called.
            const bool declared = c10::Dispatcher::singleton().findSchema(op).has_value();
            if (declared) known.push_back(one);
            if (!declared && one == field) {
                refuse(where, "the kernel's library has no op " + backquoted(field) +
                                  ": it implements one of this name and declares no schema of it");
            }
        }
        const std::string hint = did_you_mean(field, known);
        refuse(where,
               "the kernel's library has no op " + backquoted(field) + (hint.empty() ? "" : ": " + hint));
    }
    std::string name;
};

// What a constant that stands for a dtype has besides its value: libtorch makes one constant of equal ones.
Symbol dtype_mark() {
    static const Symbol mark = Symbol::attr("hub_dtype");
    return mark;
}

const std::map<std::string, int64_t>& constants_of_torch() {
    const auto dtype = [](at::ScalarType type) { return static_cast<int64_t>(type); };
    const auto format = [](at::MemoryFormat memory) { return static_cast<int64_t>(memory); };
    static const std::map<std::string, int64_t> known = {
        {"float32", dtype(at::kFloat)},
        {"float", dtype(at::kFloat)},
        {"float16", dtype(at::kHalf)},
        {"half", dtype(at::kHalf)},
        {"float64", dtype(at::kDouble)},
        {"double", dtype(at::kDouble)},
        {"bfloat16", dtype(at::kBFloat16)},
        {"int8", dtype(at::kChar)},
        {"uint8", dtype(at::kByte)},
        {"int16", dtype(at::kShort)},
        {"short", dtype(at::kShort)},
        {"int32", dtype(at::kInt)},
        {"int", dtype(at::kInt)},
        {"int64", dtype(at::kLong)},
        {"long", dtype(at::kLong)},
        {"uint16", dtype(at::kUInt16)},
        {"uint32", dtype(at::kUInt32)},
        {"uint64", dtype(at::kUInt64)},
        {"bool", dtype(at::kBool)},
        {"complex64", dtype(at::kComplexFloat)},
        {"complex128", dtype(at::kComplexDouble)},
        {"float8_e4m3fn", dtype(at::kFloat8_e4m3fn)},
        {"float8_e4m3fnuz", dtype(at::kFloat8_e4m3fnuz)},
        {"float8_e5m2", dtype(at::kFloat8_e5m2)},
        {"float8_e5m2fnuz", dtype(at::kFloat8_e5m2fnuz)},
        {"float8_e8m0fnu", dtype(at::kFloat8_e8m0fnu)},
        {"float4_e2m1fn_x2", dtype(at::ScalarType::Float4_e2m1fn_x2)},
        {"contiguous_format", format(at::MemoryFormat::Contiguous)},
        {"preserve_format", format(at::MemoryFormat::Preserve)},
        {"channels_last", format(at::MemoryFormat::ChannelsLast)},
        {"channels_last_3d", format(at::MemoryFormat::ChannelsLast3d)},
        {"strided", static_cast<int64_t>(at::kStrided)}};
    return known;
}

// A module outside the package, or something in it that is only known once it is used.
struct ExternalValue final : SugaredValue {
    ExternalValue(std::string external_path, HubCompilation& in)
        : path(std::move(external_path)), compilation(in) {}
    std::string kind() const override { return path; }
    std::shared_ptr<SugaredValue> attr(const SourceRange& where, GraphFunction& method,
                                       const std::string& field) override {
        return external_value(path + "." + field, compilation, method, where);
    }
    std::string path;
    HubCompilation& compilation;
};

// A function that says what cannot be otherwise here: that torch.compile is not at work.
struct AlwaysFalse final : SugaredValue {
    std::string kind() const override { return "a constant function"; }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue>, at::ArrayRef<NamedValue>, size_t) override {
        return constant_value(IValue(false), method, where);
    }
};

// A function of math: it makes numbers of tensors.
struct MathValue final : SugaredValue {
    explicit MathValue(std::shared_ptr<SugaredValue> of_numbers) : function(std::move(of_numbers)) {}
    std::string kind() const override { return function->kind(); }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue> kwargs,
                                       size_t n_binders) override {
        auto& graph = *method.graph();
        std::vector<NamedValue> given;
        for (const auto& argument : args) {
            Value* value = argument.value(graph);
            const bool tensor = value->type()->isSubtypeOf(*c10::TensorType::get());
            given.emplace_back(where, tensor ? graph.insert(aten::Float, {value}, {}, where) : value);
        }
        return function->call(where, method, given, kwargs, n_binders);
    }
    std::shared_ptr<SugaredValue> function;
};

// math.log2: TorchScript has none, and torch's own may differ from C's in the last bit.
struct KnownLogarithm final : SugaredValue {
    std::string kind() const override { return "math.log2"; }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue> kwargs,
                                       size_t) override {
        const auto known =
            args.size() == 1 && kwargs.empty() ? toIValue(args[0].value(*method.graph())) : std::nullopt;
        if (!known || !(known->isInt() || known->isDouble()))
            refuse(where, "math.log2 of what is no constant, which TorchScript has not");
        const double number = known->isInt() ? static_cast<double>(known->toInt()) : known->toDouble();
        if (!(number > 0)) refuse(where, "math.log2 of a number that is not positive");
        return constant_value(IValue(std::log2(number)), method, where);
    }
};

// torch.finfo(dtype), torch.iinfo(dtype): their members are chosen by the dtype when the layer runs.
struct DtypeLimits final : SugaredValue {
    DtypeLimits(std::string of, Value* of_dtype, HubCompilation& in)
        : name(std::move(of)), dtype(of_dtype), compilation(in) {}
    std::string kind() const override { return "torch." + name; }
    std::shared_ptr<SugaredValue> attr(const SourceRange& where, GraphFunction& method,
                                       const std::string& field) override {
        const std::string wanted = field == "smallest_normal" ? "tiny" : field;
        auto* function = compilation.functional("hub_" + name + "_" + wanted);
        if (function == nullptr) refuse(where, "." + field + " of torch." + name);
        return FunctionValue(function).call(where, method, {NamedValue(where, dtype)}, {}, 1);
    }
    std::string name;
    Value* dtype;
    HubCompilation& compilation;
};

struct DtypeLimitsMaker final : SugaredValue {
    DtypeLimitsMaker(std::string of, HubCompilation& in) : name(std::move(of)), compilation(in) {}
    std::string kind() const override { return "torch." + name; }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue> kwargs,
                                       size_t) override {
        if (args.size() != 1 || !kwargs.empty()) refuse(where, "torch." + name + " takes one dtype here");
        return std::make_shared<DtypeLimits>(name, args[0].value(*method.graph()), compilation);
    }
    std::string name;
    HubCompilation& compilation;
};

}  // namespace

const Value* held(const Value* value) {
    const Node* load = value->node();
    if (load->kind() != prim::Load) return value;
    const Node* at = load;
    for (;;) {
        at = at->prev();
        if (at->kind() == prim::Return || at->kind() == prim::Param) {
            at = at->owningBlock()->owningNode();
            if (at == nullptr || at->kind() != prim::If) return value;
            continue;
        }
        if (!at->blocks().empty()) return value;
        if (at->kind() == prim::Store && at->s(attr::name) == load->s(attr::name)) return held(at->input(0));
    }
}

bool is_dtype(const Value* value) {
    const Node* node = held(value)->node();
    return node->kind() == prim::dtype || node->kind() == prim::layout ||
           (node->kind() == prim::Constant && node->hasAttribute(dtype_mark()));
}

void forget_dtypes(Graph& graph) {
    for_each_node(graph.block(), [](Node* node) {
        if (node->kind() == prim::Constant && node->hasAttribute(dtype_mark()))
            node->removeAttribute(dtype_mark());
    });
}

std::shared_ptr<SugaredValue> op_namespace_value(const std::string& name) {
    return std::make_shared<OpNamespace>(name);
}

std::shared_ptr<SugaredValue> operator_value(const std::string& name) {
    const auto symbol = Symbol::fromQualString("aten::" + name);
    if (getAllOperatorsFor(symbol).empty() && getAllBuiltinFunctionsFor(symbol).empty()) return nullptr;
    return std::make_shared<TorchOperator>(symbol);
}

std::shared_ptr<SugaredValue> constant_value(const IValue& value, GraphFunction& method,
                                             const SourceRange& where) {
    return std::make_shared<SimpleValue>(method.graph()->insertConstant(value, where));
}

Value* adapted(Value* value, const c10::TypePtr& wanted, const SourceRange& where) {
    auto& graph = *value->owningGraph();
    const auto optional = wanted->cast<c10::OptionalType>();
    const c10::TypePtr inner = optional ? optional->getElementType() : wanted;
    if (inner->kind() == c10::TypeKind::FloatType && value->type()->kind() == c10::TypeKind::IntType) {
        if (const auto constant = toIValue(value))
            return graph.insertConstant(static_cast<double>(constant->toInt()), where);
        return graph.insert(aten::Float, {value}, {}, where);
    }
    return unwrapped(value, wanted, where);
}

void adapt(const c10::FunctionSchema& schema, std::vector<NamedValue>& given, std::vector<NamedValue>& named,
           Graph& graph, const SourceRange& where,
           const std::function<Value*(Value*, const c10::TypePtr&)>& before) {
    const auto fit = [&](const NamedValue& one, const c10::TypePtr& wanted) {
        Value* value = one.value(graph);
        return adapted(before ? before(value, wanted) : value, wanted, where);
    };
    const auto& wanted = schema.arguments();
    for (std::size_t i = 0; i < given.size() && i < wanted.size(); ++i)
        given[i] = NamedValue(where, fit(given[i], wanted[i].type()));
    for (auto& value : named) {
        if (const auto place = schema.argumentIndexWithName(value.name()))
            value =
                NamedValue(where, value.name(), fit(value, wanted[static_cast<std::size_t>(*place)].type()));
    }
}

Value* unwrapped(Value* value, const c10::TypePtr& wanted, const SourceRange& where) {
    const auto given = value->type()->cast<c10::OptionalType>();
    if (wanted->kind() == c10::TypeKind::OptionalType || !given ||
        !given->getElementType()->isSubtypeOf(*wanted))
        return value;
    return value->owningGraph()->insert(aten::_unwrap_optional, {value}, {}, where);
}

std::shared_ptr<SugaredValue> external_value(const std::string& path, HubCompilation& compilation,
                                             GraphFunction& method, const SourceRange& where) {
    const auto dot = path.rfind('.');
    const std::string owner = dot == std::string::npos ? "" : path.substr(0, dot);
    const std::string name = dot == std::string::npos ? path : path.substr(dot + 1);
    static const std::set<std::string> modules = {
        "torch",        "torch.nn",      "torch.nn.functional", "torch.autograd",
        "torch.cuda",   "torch.ops",     "torch.compiler",      "torch.jit",
        "torch.linalg", "torch.special", "torch.fft",           "torch._dynamo",
        "math"};
    if (modules.contains(path)) return std::make_shared<ExternalValue>(path, compilation);
    if (owner == "torch.ops") return op_namespace_value(name);
    if (path == "torch.finfo" || path == "torch.iinfo")
        return std::make_shared<DtypeLimitsMaker>(name, compilation);
    if (owner == "torch" || owner == "torch.functional") {
        if (const auto known = constants_of_torch().find(name); known != constants_of_torch().end()) {
            Value* dtype = method.graph()->insertConstant(known->second, where);
            dtype->node()->s_(dtype_mark(), "");
            return std::make_shared<SimpleValue>(dtype);
        }
        if (name == "tensor") return tensor_value(name, compilation);
        if (auto op = operator_without_bools(name)) return op;
        if (auto op = operator_value(name)) return op;
    }
    if (owner == "torch.nn.functional") {
        if (auto function = functional_value(name, compilation)) return function;
        refuse(where, "torch.nn.functional." + name + " is none of the functions that can be compiled");
    }
    if (owner == "torch.linalg" || owner == "torch.special" || owner == "torch.fft") {
        if (auto op = operator_value(owner.substr(6) + "_" + name)) return op;
    }
    if (owner == "torch.compiler" || owner == "torch.jit" || owner == "torch._dynamo") {
        if (name.rfind("is_", 0) == 0) return std::make_shared<AlwaysFalse>();
    }
    if (owner == "math") {
        static const std::map<std::string, double> numbers = {
            {"pi", M_PI}, {"e", M_E}, {"inf", INFINITY}, {"nan", NAN}, {"tau", 2 * M_PI}};
        if (const auto known = numbers.find(name); known != numbers.end())
            return constant_value(IValue(known->second), method, where);
        if (name == "log2") return std::make_shared<KnownLogarithm>();
        if (auto op = operator_value(name)) return std::make_shared<MathValue>(op);
    }
    if (owner == "builtins") return nullptr;
    if (auto functions = attention_functions(path, compilation)) return functions;
    refuse(where, path + " is Python code outside the kernel, which TorchScript cannot call");
}

}  // namespace kernels::torchscript
