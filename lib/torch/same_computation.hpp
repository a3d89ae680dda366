// Whether methods of one class, such as what tracing and scripting made of one forward, compute the same.
#pragma once

#include <torch/script.h>

#include "own_arguments.hpp"

namespace kernels::torchscript {

/// A method, and those of its arguments that are the layer's own.
struct Computation {
    const torch::jit::Function& method;
    const OwnArguments& own;
};

/// Of the results that a kernel's layer replaces, one of the type `offered`, with the numbers that this layer
/// has: nothing in the model may write them. False where it cannot be told, and where a method does more than
/// compute.
bool compute_the_same(const torch::jit::Module& layer, const Computation& one, const Computation& other,
                      const c10::TypePtr& offered);

}  // namespace kernels::torchscript
