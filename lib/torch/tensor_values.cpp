#include "tensor_values.hpp"

#include <torch/csrc/jit/ir/constants.h>

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "graph_calls.hpp"
#include "hub_compilation.hpp"
#include "torch_names.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

bool is_kind(const Value* value, c10::TypeKind kind) {
    return value->type()->kind() == kind;
}

bool is_written_out(const Value* value) {
    return value->node()->kind() == prim::ListConstruct || value->node()->kind() == prim::TupleConstruct;
}

// The numbers in what is written out; none where something else is in it.
std::vector<Value*> leaves_of(Value* value) {
    if (is_kind(value, c10::TypeKind::IntType) || is_kind(value, c10::TypeKind::FloatType)) return {value};
    std::vector<Value*> found;
    if (!is_written_out(value)) return found;
    for (Value* part : value->node()->inputs()) {
        const auto numbers = leaves_of(part);
        if (numbers.empty()) return {};
        found.insert(found.end(), numbers.begin(), numbers.end());
    }
    return found;
}

// What is written out with floats alone, which numbers_in finds numbers in; nullptr where lists have other
// depths.
Value* with_floats(Value* value, Graph& graph, const SourceRange& where) {
    if (!is_written_out(value)) return adapted(value, c10::FloatType::get(), where);
    std::vector<Value*> parts;
    for (Value* part : value->node()->inputs()) {
        parts.push_back(with_floats(part, graph, where));
        if (parts.back() == nullptr || *parts.back()->type() != *parts.front()->type()) return nullptr;
    }
    return graph.insertNode(graph.createList(parts.front()->type(), parts))->output();
}

// Of lists whose length shows when it runs.
bool may_be_empty(const Value* data) {
    if (!is_kind(data, c10::TypeKind::ListType)) return false;
    if (data->node()->kind() != prim::ListConstruct || data->node()->inputs().empty()) return true;
    const auto parts = data->node()->inputs();
    return std::any_of(parts.begin(), parts.end(), [](const Value* part) { return may_be_empty(part); });
}

c10::TypePtr element_of(c10::TypePtr type) {
    while (const auto list = type->cast<c10::ListType>())
        type = list->getElementType();
    return type;
}

// TorchScript's torch.tensor makes float32 of numbers before it makes anything else of them.
struct TensorMaker final : SugaredValue {
    TensorMaker(bool new_like, HubCompilation& in) : like(new_like), compilation(in) {}
    std::string kind() const override { return like ? "new_tensor" : "torch.tensor"; }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue> kwargs,
                                       size_t n_binders) override {
        auto& graph = *method.graph();
        std::vector<NamedValue> given(args.begin(), args.end());
        std::vector<NamedValue> named(kwargs.begin(), kwargs.end());
        if (like) of_tensor(given, named, where, graph);
        const auto data_named =
            std::find_if(named.begin(), named.end(), [](const auto& one) { return one.name() == "data"; });
        const bool by_name = data_named != named.end();
        if (like && given.size() + (by_name ? 1 : 0) != 1)
            refuse(where, "new_tensor takes its data, and the rest by name");
        const auto by_libtorch = [&] {
            return BuiltinFunction(aten::tensor, std::nullopt).call(where, method, given, named, n_binders);
        };
        if (given.size() + (by_name ? 1 : 0) != 1) return by_libtorch();
        NamedValue& data_argument = by_name ? *data_named : given[0];
        Value* dtype = argument(named, "dtype", graph);
        Value* data = of_one_type(data_argument.value(graph), dtype, graph, where);
        data_argument = by_name ? NamedValue(where, "data", data) : NamedValue(where, data);
        refuse_unlike(data, where);
        if (argument(named, "requires_grad", graph) != nullptr) {
            if (like) refuse(where, "new_tensor with requires_grad");
            return by_libtorch();
        }
        const char* name = maker_for(data->type());
        if (name != nullptr && dtype != nullptr && !is_exact(dtype))
            return call_functional(name, where, method, given, named);
        if (!may_be_empty(data) || is_exact_kind(element_of(data->type())) ||
            (dtype != nullptr && !is_kind(dtype, c10::TypeKind::NoneType) &&
             !is_kind(dtype, c10::TypeKind::OptionalType)))
            return by_libtorch();
        Value* made = by_libtorch()->asValue(where, method);
        std::vector<NamedValue> of_made{NamedValue(where, made)};
        if (dtype != nullptr) of_made.emplace_back(where, dtype);
        return call_functional("hub_float_when_empty", where, method, of_made, {});
    }

  private:
    // x.new_tensor(data): with the dtype and the device of x.
    static void of_tensor(std::vector<NamedValue>& given, std::vector<NamedValue>& named,
                          const SourceRange& where, Graph& graph) {
        Value* tensor = given.at(0).value(graph);
        if (!tensor->type()->isSubtypeOf(*c10::TensorType::get()))
            refuse(where, "new_tensor of a " + tensor->type()->repr_str() + ", which is no tensor");
        given.erase(given.begin());
        std::erase_if(named, [&](const NamedValue& one) {
            const bool left_to_tensor = one.name() == "dtype" || one.name() == "device";
            return left_to_tensor && is_kind(one.value(graph), c10::TypeKind::NoneType);
        });
        if (argument(named, "dtype", graph) == nullptr)
            named.emplace_back(where, "dtype", graph.insert(prim::dtype, {tensor}, {}, where));
        if (argument(named, "device", graph) == nullptr)
            named.emplace_back(where, "device", graph.insert(prim::device, {tensor}, {}, where));
    }

    std::shared_ptr<SugaredValue> call_functional(const char* name, const SourceRange& where,
                                                  GraphFunction& method, at::ArrayRef<NamedValue> given,
                                                  at::ArrayRef<NamedValue> named) {
        return FunctionValue(compilation.functional(name)).call(where, method, given, named, 1);
    }

    static Value* argument(const std::vector<NamedValue>& named, const char* name, Graph& graph) {
        const auto found =
            std::find_if(named.begin(), named.end(), [&](const auto& one) { return one.name() == name; });
        return found == named.end() ? nullptr : found->value(graph);
    }

    // [1, 2.5], of which Python makes floats.
    static Value* of_one_type(Value* data, const Value* dtype, Graph& graph, const SourceRange& where) {
        if (!is_written_out(data)) return data;
        const auto numbers = leaves_of(data);
        const auto whole = [](const Value* one) { return is_kind(one, c10::TypeKind::IntType); };
        if (std::all_of(numbers.begin(), numbers.end(), whole) ||
            std::none_of(numbers.begin(), numbers.end(), whole))
            return data;
        constexpr int64_t exact_in_double = int64_t{1} << 53;
        for (const Value* one : numbers) {
            const auto number = whole(one) ? toIValue(one) : std::nullopt;
            if (dtype != nullptr && number &&
                (number->toInt() > exact_in_double || number->toInt() < -exact_in_double))
                refuse(where,
                       "torch.tensor or .new_tensor of floats and a whole number that is beyond theirs");
        }
        return floats_of(data, graph, where);
    }

    // What libtorch's makes something else of than Python's, or cannot make when it runs.
    static void refuse_unlike(const Value* data, const SourceRange& where) {
        if (data->type()->isSubtypeOf(*c10::TensorType::get()))
            refuse(where, "torch.tensor or .new_tensor of a tensor; .clone() and .to() make one of it");
        const auto type = element_of(data->type());
        if (type->kind() == c10::TypeKind::TensorType)  // of an empty list too
            refuse(where,
                   "torch.tensor or .new_tensor of a list of tensors or of nothing; torch.stack and "
                   "torch.empty make those");
        if (type->kind() == c10::TypeKind::NumberType)
            refuse(where,
                   "torch.tensor or .new_tensor of numbers whose type shows only when it runs, as .item() "
                   "gives them; int(…) or float(…) say it");
        if (type->kind() == c10::TypeKind::TupleType && is_kind(data, c10::TypeKind::ListType))
            refuse(where, "torch.tensor or .new_tensor of a list of tuples; lists in a list make the same");
    }
    // Of nothing Python makes floats, as libtorch does of a list of those.
    static bool is_exact_kind(const c10::TypePtr& element) {
        return element->kind() != c10::TypeKind::IntType && element->kind() != c10::TypeKind::BoolType;
    }
    // Dtypes that keep no more of a number than float32 does.
    static bool is_exact(const Value* dtype) {
        const auto known = toIValue(dtype);
        if (!known) return false;
        if (!known->isInt()) return true;
        static const std::set<at::ScalarType> narrow{at::kFloat, at::kHalf, at::kBFloat16};
        return narrow.contains(static_cast<at::ScalarType>(known->toInt()));
    }
    static const char* maker_for(const c10::TypePtr& data) {
        if (data->kind() == c10::TypeKind::FloatType) return "hub_tensor_of_float";
        const auto list = data->cast<c10::ListType>();
        if (!list) return nullptr;
        if (list->getElementType()->kind() == c10::TypeKind::FloatType) return "hub_tensor_of_floats";
        const auto inner = list->getElementType()->cast<c10::ListType>();
        return inner && inner->getElementType()->kind() == c10::TypeKind::FloatType ? "hub_tensor_of_rows"
                                                                                    : nullptr;
    }
    bool like;
    HubCompilation& compilation;
};

}  // namespace

std::shared_ptr<SugaredValue> tensor_value(const std::string& name, HubCompilation& compilation) {
    return std::make_shared<TensorMaker>(name == "hub_new_tensor", compilation);
}

Value* floats_of(Value* value, Graph& graph, const SourceRange& where) {
    if (!is_written_out(value) || leaves_of(value).empty()) return value;
    Value* const floats = with_floats(value, graph, where);
    return floats == nullptr ? value : floats;
}

}  // namespace kernels::torchscript
