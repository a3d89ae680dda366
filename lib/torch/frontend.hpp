// TorchScript's compiler on the source of hub layers.
#pragma once

#include <torch/script.h>

#include <map>
#include <memory>
#include <string>

#include "hub_source.hpp"
#include "kernels/project/project.hpp"

namespace kernels::torchscript {

/// Compiles a layer's forward as the method `method` of the class. Attributes in `constants` stand in for
/// ones that the class does not have. Throws Error(kernelize) with file, line and the compiler's first words;
/// the class is unchanged then.
void compile_method(const torch::jit::Module& owner, const c10::ClassTypePtr& type, const std::string& method,
                    const HubModule& module, const FunctionSource& source, const std::string& op_namespace,
                    const std::map<std::string, project::AttributeValue>& constants);

/// Removes a method from a class and from its compilation unit.
void remove_method(const torch::jit::Module& owner, const c10::ClassTypePtr& type, const std::string& method);

}  // namespace kernels::torchscript
