// What the command line says about inputs and tolerances.
#pragma once

#include <torch/script.h>

#include <vector>

#include "common/program.hpp"
#include "kernels/torch/compare.hpp"

namespace kernels::app {

/// The inputs that --input names for the model's forward: files of torch.save (tensors, and tuples, lists and
/// dictionaries of them), numbers, true, false and none, or types and shapes such as int64[1,16], filled with
/// random values from --seed (integers from 0 to 9, others normal). Throws Error(usage) for anything else, or
/// without --input, and Error(failed) for a file that cannot be read.
std::vector<c10::IValue> read_inputs(const Context& context, const torch::jit::Module& model);

/// --rtol and --atol.
torchscript::Tolerance read_tolerance(const Arguments& arguments);

}  // namespace kernels::app
