// What the command line says about inputs and tolerances.
#pragma once

#include <torch/script.h>

#include <vector>

#include "common/program.hpp"
#include "kernels/torch/compare.hpp"

namespace kernels::app {

/// The inputs that --input names: tensor files of torch.save, or types and shapes such as int64[1,16], filled
/// with random values from --seed (integers from 0 to 9, others normal). Throws Error(usage) for anything
/// else, or without --input.
std::vector<c10::IValue> read_inputs(const Arguments& arguments);

/// --rtol and --atol.
torchscript::Tolerance read_tolerance(const Arguments& arguments);

}  // namespace kernels::app
