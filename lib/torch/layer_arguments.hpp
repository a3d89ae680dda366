// Which of a layer's arguments a hub method gets.
#pragma once

#include <torch/script.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "frontend.hpp"
#include "own_arguments.hpp"

namespace kernels::torchscript {

/// What a hub method gets: for each of its arguments the one of the layer at that place, or a constant.
using Arguments = std::vector<std::variant<std::size_t, c10::IValue>>;

/// What the project says of a layer beyond its name.
struct Given {
    std::map<std::string, project::AttributeValue> attributes;
    std::vector<std::string> arguments;  ///< see project::Binding
    std::vector<std::int64_t> results;   ///< likewise
    bool is_verified = false;            ///< what comes of it is compared with the original in any case
};

/// A hub layer has the parameters of the layer that it replaces, in number and kind: its defaults are nothing
/// that the model has said. Values may come from the binding; and of traced code, which has lost what is no
/// tensor, arguments_for tells whether they can be known. Throws Error(kernelize).
void require_same_parameters(const torch::jit::Function& original, const FunctionSource& hub,
                             const Given& given);

/// The types of the layer's arguments, for parameters without annotation. Nothing where the layer's arguments
/// are not the kernel's: the binding gives another order or further values, or tracing may have taken some
/// away, whose values must be known.
/// `own`: those that the hub layer reads from the module, here and below.
std::optional<std::vector<c10::TypePtr>> argument_types(const torch::jit::Function& original,
                                                        const FunctionSource& hub, const Given& given,
                                                        const OwnArguments& own);

/// Throws Error(kernelize) when the layer's arguments do not fit.
Arguments arguments_for(const torch::jit::Function& original, const torch::jit::Function& hub,
                        const Given& given, const OwnArguments& own);

}  // namespace kernels::torchscript
