// TorchScript's compiler on the source of hub layers and functions.
#pragma once

#include <torch/script.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernels/project/project.hpp"
#include "source/hub_module.hpp"

namespace kernels::torchscript {

using source::FunctionSource;
using source::HubModule;
using source::LayerSource;

struct CompileOptions {
    std::string op_namespace;
    /// What stands in for attributes that the class does not have.
    std::map<std::string, project::AttributeValue> constants;
    /// Attributes that the class has under other names.
    std::map<std::string, std::string> renamed;
    /// The arguments (without self) of what is replaced: parameters take their types, and those behind keep
    /// their defaults. Without it the annotations and defaults decide, and Tensor where there are none.
    std::optional<std::vector<c10::TypePtr>> arguments;
    /// The layer is of a C++ model: what it lacks is declared there, and given by no binding.
    bool native = false;
    /// Attributes that the class does not have and that are None.
    std::set<std::string> none = {};
};

/// Compiles a layer's forward as the method `method` of the class; functions of the package that it calls
/// are inlined. Throws Error(kernelize) "file:line: why"; the class is unchanged then.
void compile_method(const torch::jit::Module& owner, const c10::ClassTypePtr& type, const std::string& method,
                    const FunctionSource& source, const CompileOptions& options);

/// Compiles a function of the package as the function `name` of `unit`, which must have none of that name.
/// Its graph calls operators only. Throws Error(kernelize) "file:line: why".
torch::jit::Function& compile_function(torch::jit::CompilationUnit& unit, const std::string& name,
                                       const FunctionSource& source, const CompileOptions& options);

/// Removes a method from a class and from its compilation unit.
void remove_method(const torch::jit::Module& owner, const c10::ClassTypePtr& type, const std::string& method);

}  // namespace kernels::torchscript
