#include "other_arguments.hpp"

#include <array>
#include <cstdio>

#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

using c10::IValue;
using c10::TypeKind;
using Values = std::vector<IValue>;

// The step is large enough to be seen in bfloat16.
Values others_of(const IValue& value) {
    if (value.isDouble()) return {value.toDouble() + 0.25, value.toDouble() * 2 - 0.5};
    if (value.isInt()) return {value.toInt() + 1, value.toInt() - 1};
    if (value.isBool()) return {!value.toBool()};
    return {};
}

// Tensors that may stand where there was none. One of the shape of a weight is no sum, and the other way
// round, though torch takes both.
Values tensors_for(const std::string& name, const Values& arguments) {
    for (const auto& like : tensors_in(arguments)) {
        if (!like.is_floating_point() || like.dim() == 0) continue;
        const auto options = like.options().requires_grad(false);
        const IValue row = at::randn({like.size(-1)}, options.dtype(at::kFloat)).to(options);
        const IValue whole = at::randn(like.sizes(), options.dtype(at::kFloat)).to(options);
        const IValue flags = at::randn(like.sizes(), options.dtype(at::kFloat)).gt(0);
        for (const char* weight : {"weight", "bias", "gamma", "beta", "scale"})
            if (name.find(weight) != std::string::npos) return {row, whole};
        if (name.find("mask") != std::string::npos) return {flags, whole, row};
        return {whole, row, flags};
    }
    return {};
}

Values others_of_none(const c10::Argument& argument, const Values& arguments) {
    const auto inner = argument.type()->expectRef<c10::OptionalType>().getElementType();
    switch (inner->kind()) {
        case TypeKind::TensorType:
            return tensors_for(argument.name(), arguments);
        case TypeKind::FloatType:
            return {0.25, 1.0};
        case TypeKind::IntType:
            return {1, 2};
        case TypeKind::BoolType:
            return {true, false};
        default:
            return {};
    }
}

std::string text_of(const IValue& value) {
    if (value.isTensor()) return c10::str("a tensor of shape ", value.toTensor().sizes());
    if (value.isNone()) return "None";
    if (value.isBool()) return value.toBool() ? "True" : "False";
    if (!value.isDouble()) return c10::str(value);
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.6g", value.toDouble());
    return text.data();
}

}  // namespace

std::vector<std::string> add_other_arguments(const Values& arguments, const c10::FunctionSchema& schema,
                                             const Accepts& accepts, std::vector<InputCase>& cases) {
    Values all = arguments;
    for (std::size_t i = all.size() + 1; i < schema.arguments().size(); ++i) {
        if (!schema.arguments()[i].default_value()) return {};
        all.push_back(*schema.arguments()[i].default_value());
    }
    std::vector<std::string> not_varied;
    for (std::size_t i = 0; i < all.size() && i + 1 < schema.arguments().size(); ++i) {
        const auto& argument = schema.arguments()[i + 1];
        const bool optional = argument.type()->kind() == TypeKind::OptionalType;
        if (!optional && !tensors_in({all[i]}).empty()) continue;
        Values others = optional && all[i].isNone() ? others_of_none(argument, arguments) : others_of(all[i]);
        const bool first_only = optional && all[i].isNone();
        if (optional && !all[i].isNone()) others.emplace_back();
        bool varied = false;
        for (auto& other : others) {
            InputCase one;
            one.name = argument.name() + " = " + text_of(other) + " in the place of " + text_of(all[i]);
            one.arguments = with_tensors(all, exact_copy);
            one.arguments[i] = std::move(other);
            one.other_arguments = true;
            one.may_be_refused = true;
            if (!accepts(one)) continue;
            varied = true;
            cases.push_back(std::move(one));
            if (first_only) break;
        }
        if (!varied) not_varied.push_back(argument.name());
    }
    return not_varied;
}

std::vector<std::string> own_numbers(const torch::jit::Module& module) {
    std::vector<std::string> names;
    for (const auto& attribute : module.named_attributes(true)) {
        const auto last = attribute.name.substr(attribute.name.rfind('.') + 1);
        const auto& value = attribute.value;
        if (last == "training" || last.starts_with("_")) continue;
        if (value.isDouble() || value.isInt() || value.isBool() || value.isString())
            names.push_back(attribute.name);
    }
    return names;
}

}  // namespace kernels::torchscript
