// Running a method straight from its graph.
#pragma once

#include <torch/script.h>

#include <string>
#include <utility>
#include <vector>

namespace kernels::torchscript {

/// Runs the method. With libtorch's optimizer on as a model runs; else node by node, since libtorch keeps
/// about five compiled copies of the graph of whatever it has run, for as long as the function lives; what is
/// forked then runs at once. Throws what the code throws.
c10::IValue run_graph(const torch::jit::Module& module, const std::string& method,
                      std::vector<c10::IValue> arguments);

/// The same, node by node, with other roundings, see OtherRoundings.
c10::IValue run_with_other_roundings(const torch::jit::Module& module, const std::string& method,
                                     std::vector<c10::IValue> arguments, std::uint64_t seed);

/// What code was told that asked for the dtypes of tensors, in one run.
struct DtypesRead {
    at::ScalarType own = at::kFloat;  ///< of the floating arguments, or of the weights where there are none
    std::vector<std::pair<const torch::jit::Node*, at::ScalarType>> answers;  ///< in order
};

/// Runs the method, where it asks for any, on copies of the arguments. The module's buffers and attributes
/// are as before afterwards. Throws what the code throws.
DtypesRead dtypes_read(const torch::jit::Module& module, const std::string& method,
                       const std::vector<c10::IValue>& arguments);

/// Runs the method in float64 wherever its dtypes are narrower, see WideValues; the module's state stays as
/// it is. Code that asks for dtypes is told what it was told before: what it decides by them, it decides as
/// ever. Throws what the code throws, and where it asks otherwise than before.
c10::IValue run_in_double(const torch::jit::Module& module, const std::string& method,
                          std::vector<c10::IValue> arguments, const DtypesRead& read);

}  // namespace kernels::torchscript
