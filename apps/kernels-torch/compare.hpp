// Running models on the same inputs and comparing what they give.
#pragma once

#include <torch/script.h>

#include <optional>
#include <string>
#include <vector>

#include "common/program.hpp"

namespace kernels::app {

/// The inputs that --input names: tensor files of torch.save, or types and shapes such as int64[1,16], filled
/// with random values from --seed (integers from 0 to 9, others normal). Throws Error(usage) for anything
/// else, or without --input.
std::vector<c10::IValue> read_inputs(const Arguments& arguments);

struct Difference {
    double largest = 0;   ///< of all output tensors; infinite where one has NaN and the other has not
    bool within = true;   ///< by the tolerances
    std::string problem;  ///< a shape, dtype or structure that differs
};

/// Compares outputs, also in tuples, lists and dictionaries. Without given tolerances the dtype decides.
Difference compare(const c10::IValue& actual, const c10::IValue& expected, std::optional<double> rtol,
                   std::optional<double> atol);

/// Runs forward on copies of the inputs, without gradients.
c10::IValue forward(torch::jit::Module& module, const std::vector<c10::IValue>& inputs);

}  // namespace kernels::app
