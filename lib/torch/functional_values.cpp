#include "functional_values.hpp"

#include <torch/csrc/jit/ir/constants.h>

#include <algorithm>
#include <set>
#include <vector>

#include "graph_calls.hpp"
#include "hub_compilation.hpp"
#include "tensor_values.hpp"
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
    // One number for all dimensions, two unless the name says otherwise. Of a norm it is the dimension.
    Value* for_all(Value* value, const c10::TypePtr& wanted) const {
        if (value->type()->kind() != c10::TypeKind::IntType || !wanted->isSubtypeOf(*c10::ListType::ofInts()))
            return value;
        const bool single = function->name().ends_with("1d") || function->name() == "hub_norm";
        const std::size_t count = single ? 1 : function->name().ends_with("3d") ? 3 : 2;
        auto& graph = *value->owningGraph();
        return graph.insertNode(graph.createList(c10::IntType::get(), std::vector<Value*>(count, value)))
            ->output();
    }
    Function* function;
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

std::shared_ptr<SugaredValue> functional_value(const std::string& name, HubCompilation& compilation) {
    if (name == "interpolate") return std::make_shared<Interpolation>(compilation);
    if (is_operator_of_functional(name)) {
        if (auto op = operator_value(name == "logsigmoid" ? "log_sigmoid" : name)) return op;
    }
    auto* function = compilation.functional(name);
    return function == nullptr ? nullptr : std::make_shared<FunctionalValue>(function);
}

}  // namespace kernels::torchscript
