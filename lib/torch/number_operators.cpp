#include "number_operators.hpp"

#include <torch/csrc/jit/ir/constants.h>

#include <algorithm>
#include <map>

#include "graph_calls.hpp"
#include "torch_names.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

bool is_tensor(const Value* value) {
    return value->type()->isSubtypeOf(*c10::TensorType::get());
}

bool is(const Value* value, c10::TypeKind kind) {
    return value->type()->kind() == kind;
}

// hub_bitand(a, b) …
struct BitOperator final : SugaredValue {
    BitOperator(std::string by_name, c10::Symbol of, c10::Symbol in_place)
        : name(std::move(by_name)), symbol(of), symbol_in_place(in_place) {}
    std::string kind() const override { return name; }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue>,
                                       size_t) override {
        auto& graph = *method.graph();
        const Value* first = args.at(0).value(graph);
        const Value* second = args.at(1).value(graph);
        const bool mixed = is_tensor(first) != is_tensor(second);
        if (mixed && (is(first, c10::TypeKind::BoolType) || is(second, c10::TypeKind::BoolType)))
            refuse(where, "a bool with a tensor, of which TorchScript makes a whole number");
        if (mixed && is_tensor(second))
            refuse(where, "a number in front of a tensor, which TorchScript then takes for a number");
        return std::make_shared<SimpleValue>(
            graph.insert(is_tensor(first) ? symbol_in_place : symbol, args, {}, where));
    }
    std::string name;
    c10::Symbol symbol;
    c10::Symbol symbol_in_place;  // of a tensor
};

int64_t power(int64_t base, int64_t exponent, const SourceRange& where) {
    int64_t result = 1;
    for (; exponent > 0; --exponent) {
        if (__builtin_mul_overflow(result, base, &result))
            refuse(where, "the value of ** is beyond the 64 bits of TorchScript's whole numbers");
        if (result == 0 || (result == 1 && base == 1)) break;
        if (base == -1) return exponent % 2 == 0 ? 1 : -1;
    }
    return result;
}

// hub_pow(a, b): TorchScript makes a float of whole numbers.
struct Power final : SugaredValue {
    explicit Power(bool changing) : in_place(changing) {}
    std::string kind() const override { return "**"; }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue> kwargs,
                                       size_t) override {
        auto& graph = *method.graph();
        if (args.size() != 2 || !kwargs.empty()) refuse(where, "pow of other than two values");
        Value* base = args[0].value(graph);
        const Value* exponent = args[1].value(graph);
        const auto whole = [](const Value* value) {
            return is(value, c10::TypeKind::IntType) || is(value, c10::TypeKind::BoolType);
        };
        const auto known = toIValue(held(exponent));
        const bool negative = known && known->isInt() && known->toInt() < 0;
        if (!whole(base) || !whole(exponent) || negative)
            return std::make_shared<SimpleValue>(
                graph.insert(in_place && is_tensor(base) ? aten::pow_ : aten::pow, args, {}, where));
        constexpr int64_t most = 4;  // factors that are written out
        const auto number = toIValue(held(base));
        const bool constant = number && number->isInt();
        if (!known || !known->isInt() || is(base, c10::TypeKind::BoolType) ||
            (!constant && known->toInt() > most))
            refuse(where, "`**` of whole numbers is a float in TorchScript; write it as a product");
        if (constant) {
            const int64_t result = power(number->toInt(), known->toInt(), where);
            return std::make_shared<SimpleValue>(graph.insertConstant(result, where));
        }
        if (known->toInt() == 0)
            return std::make_shared<SimpleValue>(graph.insertConstant(int64_t{1}, where));
        Value* result = base;
        for (int64_t i = 1; i < known->toInt(); ++i)
            result = graph.insert(aten::mul, {result, base}, {}, where);
        return std::make_shared<SimpleValue>(result);
    }
    bool in_place;  // of a tensor
};

// torch.where, torch.full.
struct WithoutBools final : SugaredValue {
    explicit WithoutBools(std::string of) : name(std::move(of)) {}
    std::string kind() const override { return "torch." + name; }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue> kwargs,
                                       size_t n_binders) override {
        auto& graph = *method.graph();
        const auto is_bool = [&](const NamedValue& one) {
            return is(one.value(graph), c10::TypeKind::BoolType);
        };
        // With a dtype it is made of that one.
        const bool dtype = std::any_of(kwargs.begin(), kwargs.end(), [&](const NamedValue& one) {
            return one.name() == "dtype" && !is(one.value(graph), c10::TypeKind::NoneType);
        });
        bool bools = std::any_of(args.begin(), args.end(), is_bool);
        for (const auto& one : kwargs) {
            const bool value = one.name() == "input" || one.name() == "other" || one.name() == "fill_value";
            bools = bools || (value && is_bool(one));
        }
        if (bools && !dtype)
            refuse(where, "torch." + name +
                              " of a bool, of which TorchScript makes a whole number; a dtype or a tensor of "
                              "bools does not depend on that");
        return BuiltinFunction(c10::Symbol::fromQualString("aten::" + name), std::nullopt)
            .call(where, method, args, kwargs, n_binders);
    }
    std::string name;
};

}  // namespace

std::shared_ptr<SugaredValue> number_operator(const std::string& name) {
    if (name == "hub_pow" || name == "hub_pow_") return std::make_shared<Power>(name.ends_with('_'));
    static const std::map<std::string, std::pair<std::string, std::string>> bits{
        {"hub_bitand", {"__and__", "__iand__"}},
        {"hub_bitor", {"__or__", "__ior__"}},
        {"hub_bitxor", {"__xor__", "__ixor__"}},
        {"hub_lshift", {"__lshift__", "__ilshift__"}},
        {"hub_rshift", {"__rshift__", "__irshift__"}}};
    const bool in_place = name.ends_with('_');
    const auto known = bits.find(in_place ? name.substr(0, name.size() - 1) : name);
    if (known == bits.end()) return nullptr;
    const auto symbol = [](const std::string& op) { return c10::Symbol::fromQualString("aten::" + op); };
    const auto& [plain, changing] = known->second;
    return std::make_shared<BitOperator>(name, symbol(plain), symbol(in_place ? changing : plain));
}

std::shared_ptr<SugaredValue> operator_without_bools(const std::string& name) {
    return name == "where" || name == "full" ? std::make_shared<WithoutBools>(name) : nullptr;
}

}  // namespace kernels::torchscript
