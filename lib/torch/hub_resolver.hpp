// What the names in a lowered function stand for: those of its package, and those that lowering puts in.
#pragma once

#include <torch/csrc/jit/frontend/resolver.h>

#include <map>
#include <memory>
#include <string>

#include "hub_compilation.hpp"

namespace kernels::torchscript {

/// `imports` are the names that import statements of the body bind.
torch::jit::ResolverPtr hub_resolver(std::shared_ptr<HubCompilation> compilation,
                                     source::FunctionSource function,
                                     std::map<std::string, source::Symbol> imports);

}  // namespace kernels::torchscript
