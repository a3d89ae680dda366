#include "functional_values.hpp"

#include <torch/csrc/jit/ir/constants.h>

#include <algorithm>
#include <set>
#include <vector>

#include "graph_calls.hpp"
#include "hub_compilation.hpp"
#include "torch_names.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

// A function of functional_source().
struct FunctionalValue final : SugaredValue {
    explicit FunctionalValue(Function* compiled) : function(compiled) {}
    std::string kind() const override { return "torch.nn.functional." + function->name(); }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue> kwargs,
                                       size_t n_binders) override {
        std::vector<NamedValue> given(args.begin(), args.end());
        std::vector<NamedValue> named(kwargs.begin(), kwargs.end());
        adapt(function->getSchema(), given, named, *method.graph(), where,
              [this](Value* value, const c10::TypePtr& wanted) { return for_all(value, wanted); });
        return FunctionValue(function).call(where, method, given, named, n_binders);
    }
    // One number for all dimensions, two unless the name says otherwise.
    Value* for_all(Value* value, const c10::TypePtr& wanted) const {
        if (value->type()->kind() != c10::TypeKind::IntType || !wanted->isSubtypeOf(*c10::ListType::ofInts()))
            return value;
        const std::size_t count = function->name().ends_with("1d")   ? 1
                                  : function->name().ends_with("3d") ? 3
                                                                     : 2;
        auto& graph = *value->owningGraph();
        return graph.insertNode(graph.createList(c10::IntType::get(), std::vector<Value*>(count, value)))
            ->output();
    }
    Function* function;
};

// A tuple or list of numbers that is written out, whole ones among them, as a list of floats; other values as
// they are.
Value* floats_of(Value* value, Graph& graph, const SourceRange& where) {
    const auto kind = value->type()->kind();
    const bool list = value->node()->kind() == prim::ListConstruct;
    if (kind != c10::TypeKind::TupleType && !list) return value;
    std::vector<Value*> numbers;
    for (Value* part : list ? value->node()->inputs() : createTupleUnpack(value)) {
        const auto type = part->type()->kind();
        if (type != c10::TypeKind::IntType && type != c10::TypeKind::FloatType) return value;
        numbers.push_back(adapted(part, c10::FloatType::get(), where));
    }
    return graph.insertNode(graph.createList(c10::FloatType::get(), numbers))->output();
}

// torch.tensor: TorchScript's makes float32 of numbers before it makes anything else of them.
struct TensorMaker final : SugaredValue {
    explicit TensorMaker(HubCompilation& in) : compilation(in) {}
    std::string kind() const override { return "torch.tensor"; }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue> kwargs,
                                       size_t n_binders) override {
        auto& graph = *method.graph();
        const auto by_libtorch = [&] {
            return BuiltinFunction(aten::tensor, std::nullopt).call(where, method, args, kwargs, n_binders);
        };
        const auto named = std::find_if(kwargs.begin(), kwargs.end(),
                                        [](const NamedValue& one) { return one.name() == "data"; });
        if (args.size() + (named != kwargs.end() ? 1 : 0) != 1) return by_libtorch();
        Value* data = (args.empty() ? *named : args[0]).value(graph);
        if (data->type()->isSubtypeOf(*c10::TensorType::get()))
            refuse(where, "torch.tensor or .new_tensor of a tensor; .clone() and .to() make one of it");
        refuse_unlike(data, where);
        bool exact = true;
        for (const auto& one : kwargs) {
            if (one.name() == "requires_grad") return by_libtorch();
            if (one.name() == "dtype") exact = is_exact(one.value(graph));
        }
        const char* name = maker_for(data->type());
        if (exact || name == nullptr) return by_libtorch();
        return FunctionalValue(compilation.functional(name)).call(where, method, args, kwargs, n_binders);
    }

  private:
    // What libtorch's makes something else of than Python's, or cannot make when it runs.
    static void refuse_unlike(const Value* data, const SourceRange& where) {
        auto type = data->type();
        while (const auto list = type->cast<c10::ListType>())
            type = list->getElementType();
        if (type->kind() == c10::TypeKind::TensorType)  // of an empty list too
            refuse(where,
                   "torch.tensor or .new_tensor of a list of tensors or of nothing; torch.stack and "
                   "torch.empty make those");
        if (type->kind() == c10::TypeKind::NumberType)
            refuse(where,
                   "torch.tensor or .new_tensor of numbers whose type shows only when it runs, as .item() "
                   "gives them; int(…) or float(…) say it");
        if (type->kind() == c10::TypeKind::TupleType && data->type()->kind() == c10::TypeKind::ListType)
            refuse(where, "torch.tensor or .new_tensor of a list of tuples; lists in a list make the same");
    }
    // Dtypes that keep no more of a number than float32 does.
    static bool is_exact(const Value* dtype) {
        const auto known = toIValue(dtype);
        if (!known) return false;
        if (!known->isInt()) return true;
        static const std::set<at::ScalarType> narrow{at::kFloat, at::kHalf, at::kBFloat16, at::kBool};
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
    HubCompilation& compilation;
};

// torch.nn.functional.interpolate takes one number for all dimensions too.
struct Interpolation final : SugaredValue {
    explicit Interpolation(HubCompilation& in) : compilation(in) {}
    std::string kind() const override { return "torch.nn.functional.interpolate"; }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue> kwargs,
                                       size_t n_binders) override {
        std::vector<NamedValue> given(args.begin(), args.end());
        std::vector<NamedValue> named(kwargs.begin(), kwargs.end());
        Value* input = given.empty() ? nullptr : given.front().value(*method.graph());
        for (const auto& one : named)
            if (one.name() == "input") input = one.value(*method.graph());
        if (input == nullptr) refuse(where, "interpolate of nothing");
        const char* sizes = "hub_sizes_of_number";
        const char* scales = "hub_scales_of_number";
        const auto list_of = [&](const NamedValue& number, const char* maker) {
            Value* value = number.value(*method.graph());
            if (maker == scales) value = floats_of(value, *method.graph(), where);
            if (!value->type()->isSubtypeOf(*c10::NumberType::get())) return value;
            return FunctionalValue(compilation.functional(maker))
                .call(where, method, {NamedValue(where, input), NamedValue(where, value)}, {}, 1)
                ->asValue(where, method);
        };
        if (given.size() > 1) given[1] = NamedValue(where, list_of(given[1], sizes));
        if (given.size() > 2) given[2] = NamedValue(where, list_of(given[2], scales));
        for (auto& one : named) {
            const bool is_size = one.name() == "size";
            if (is_size || one.name() == "scale_factor")
                one = NamedValue(where, one.name(), list_of(one, is_size ? sizes : scales));
        }
        return FunctionalValue(compilation.functional("interpolate"))
            .call(where, method, given, named, n_binders);
    }
    HubCompilation& compilation;
};

// Functions of torch.nn.functional that have the name and the arguments of an operator.
bool is_operator_of_functional(const std::string& name) {
    static const std::set<std::string> names = {"linear",
                                                "conv1d",
                                                "conv2d",
                                                "conv3d",
                                                "pad",
                                                "scaled_dot_product_attention",
                                                "rms_norm",
                                                "layer_norm",
                                                "group_norm",
                                                "gelu",
                                                "softplus",
                                                "one_hot",
                                                "glu",
                                                "sigmoid",
                                                "tanh",
                                                "bilinear",
                                                "cosine_similarity",
                                                "logsigmoid",
                                                "pixel_shuffle",
                                                "pixel_unshuffle",
                                                "prelu",
                                                "avg_pool1d",
                                                "avg_pool2d",
                                                "avg_pool3d",
                                                "max_pool1d",
                                                "max_pool2d",
                                                "max_pool3d",
                                                "adaptive_avg_pool1d",
                                                "adaptive_avg_pool2d",
                                                "adaptive_avg_pool3d",
                                                "conv_transpose1d",
                                                "conv_transpose2d",
                                                "conv_transpose3d",
                                                "channel_shuffle",
                                                "pairwise_distance",
                                                "hardshrink",
                                                "softshrink",
                                                "relu_",
                                                "elu_",
                                                "leaky_relu_",
                                                "hardtanh_",
                                                "celu_",
                                                "selu_",
                                                "threshold_"};
    return names.contains(name);
}

}  // namespace

std::shared_ptr<SugaredValue> tensor_value(HubCompilation& compilation) {
    return std::make_shared<TensorMaker>(compilation);
}

std::shared_ptr<SugaredValue> functional_value(const std::string& name, HubCompilation& compilation) {
    if (name == "interpolate") return std::make_shared<Interpolation>(compilation);
    if (is_operator_of_functional(name)) {
        if (auto op = operator_value(name == "logsigmoid" ? "log_sigmoid" : name)) return op;
    }
    auto* function = compilation.functional(name);
    return function == nullptr ? nullptr : std::make_shared<FunctionalValue>(function);
}

}  // namespace kernels::torchscript
