// The gradients of an original and its replacement.
#pragma once

#include <torch/script.h>

#include <cstdint>
#include <string>
#include <vector>

#include "graph_run.hpp"

namespace kernels::torchscript {

/// What a call gives for the gradients of its results: those of the floating arguments, in the order of
/// tensors_in, and of the parameters. Zeros where the results do not depend on them.
struct Gradients {
    std::vector<std::string> names;  ///< "argument 1", "parameter weight"
    std::vector<at::Tensor> values;
    bool any = false;  ///< whether a result depends on one of them
};

/// For these gradients of its floating results, see gradients_for; with `in_double` as run_in_double(). The
/// state and the parameters are as before afterwards. Throws what the call throws.
Gradients gradients_of(torch::jit::Module& module, const std::string& method,
                       const std::vector<c10::IValue>& arguments, const std::vector<at::Tensor>& of_results,
                       std::uint64_t seed, const DtypesRead* in_double = nullptr);

/// Some for the floating tensors among the results; without a value for the others.
std::vector<at::Tensor> gradients_for(const c10::IValue& results, std::uint64_t seed);

}  // namespace kernels::torchscript
