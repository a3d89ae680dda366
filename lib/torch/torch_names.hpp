// `torch`, `math` and what is below them.
#pragma once

#include <torch/csrc/jit/frontend/sugared_value.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace kernels::torchscript {

class HubCompilation;

/// What the name `path` ("torch.nn.functional.silu") outside of the kernel's package stands for. Throws
/// Error(kernelize) with the place for Python code, which TorchScript cannot call.
std::shared_ptr<torch::jit::SugaredValue> external_value(const std::string& path, HubCompilation& compilation,
                                                         torch::jit::GraphFunction& method,
                                                         const torch::jit::SourceRange& where);

/// An op namespace: of the kernel, or below torch.ops.
std::shared_ptr<torch::jit::SugaredValue> op_namespace_value(const std::string& name);

/// Gives `value` the type that is wanted where Python's own calls would accept it: an int for a float, and
/// a value that may be None where it must not be (checked when it runs). Other values stay as they are.
torch::jit::Value* adapted(torch::jit::Value* value, const c10::TypePtr& wanted,
                           const torch::jit::SourceRange& where);

/// The same for all arguments of a call; `before` is asked first for each of them.
void adapt(const c10::FunctionSchema& schema, std::vector<torch::jit::NamedValue>& given,
           std::vector<torch::jit::NamedValue>& named, torch::jit::Graph& graph,
           const torch::jit::SourceRange& where,
           const std::function<torch::jit::Value*(torch::jit::Value*, const c10::TypePtr&)>& before = {});

/// The same for a function of the package, which gets what it is given: an int stays one.
torch::jit::Value* unwrapped(torch::jit::Value* value, const c10::TypePtr& wanted,
                             const torch::jit::SourceRange& where);

std::shared_ptr<torch::jit::SugaredValue> constant_value(const c10::IValue& value,
                                                         torch::jit::GraphFunction& method,
                                                         const torch::jit::SourceRange& where);

/// What a variable holds, as long as the compiler keeps variables: up to where branches or loops decide it.
const torch::jit::Value* held(const torch::jit::Value* value);

/// Whether the value is a dtype, layout or memory format, which TorchScript takes for whole numbers; as far
/// as it is taken of a tensor or named here.
bool is_dtype(const torch::jit::Value* value);

/// Leaves whole numbers of them alone, as in graphs that libtorch makes: for when all is compiled.
void forget_dtypes(torch::jit::Graph& graph);

/// torch.NAME; nullptr when there is no such operator.
std::shared_ptr<torch::jit::SugaredValue> operator_value(const std::string& name);

}  // namespace kernels::torchscript
