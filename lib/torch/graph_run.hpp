// Running a method straight from its graph.
#pragma once

#include <torch/script.h>

#include <string>
#include <vector>

namespace kernels::torchscript {

/// Whether code computes in the dtypes that it names and its tensors have, or in float64 wherever those are
/// narrower, see WideValues; then the model's state stays as it is.
enum class Dtypes { as_named, in_double };

/// In float64 code that reads the dtype of such a value gets `read`: what it decides by it, it decides as
/// ever.
///
/// Runs the method. With libtorch's optimizer on, and dtypes as named, as a model runs; else node by node,
/// since libtorch keeps about five compiled copies of the graph of whatever it has run, for as long as the
/// function lives; what is forked then runs at once. Throws what the code throws.
c10::IValue run_graph(const torch::jit::Module& module, const std::string& method,
                      std::vector<c10::IValue> arguments, Dtypes dtypes = Dtypes::as_named,
                      at::ScalarType read = at::kFloat);

}  // namespace kernels::torchscript
