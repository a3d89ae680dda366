// Checking that a kernelized model computes what the original computes.
#pragma once

#include <torch/script.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/torch/compare.hpp"
#include "kernels/torch/kernelize.hpp"

namespace kernels::torchscript {

/// How two models are compared.
struct VerifyOptions {
    std::vector<c10::IValue> inputs;  ///< the arguments of forward
    Tolerance tolerance;
    std::uint64_t seed = 0;
    /// The model's file, where there is one: it may hold what the exported methods were traced with.
    std::filesystem::path archive;
    /// Told what is about to run ("blocks.0.norm, large values"), for the message when a kernel crashes.
    std::function<void(const std::string&)> before;
};

/// What was found about the model (module is empty) or one of its replaced layers.
struct Verdict {
    std::string module;
    std::string method;  ///< of the model, besides forward
    std::string layer;
    double largest = 0;   ///< difference on the model's own inputs
    std::string problem;  ///< what is wrong; empty when nothing is
    bool reached = true;  ///< false when nothing was found to run it on, which is a problem
    int cases = 0;        ///< inputs on which the results were compared
    int gradients = 0;    ///< of these, with the gradients; for training
    double largest_of_gradients = 0;
    std::vector<std::string>
        notes;  ///< what the kernel refuses and the model does not use; what was not varied
};

/// What verify() found.
struct Verification {
    Verdict model;
    std::vector<Verdict> layers;  ///< replaced layers, in the manifest's order; without any nothing was run
    /// The model's exported methods besides forward that come to a replaced layer. One for which no inputs
    /// can be made has a note that says so.
    std::vector<Verdict> methods;
    /// Whether nothing has a problem.
    bool passed() const;
};

/// Runs both models on the inputs, and every replaced layer beside its original on what the original layer
/// gets there and on inputs made from that: other values (normal, of every size, zero, NaN and infinity),
/// larger and negative whole numbers, other sizes of each extent down to no rows, other numbers of
/// dimensions, other numbers and flags, layouts that are not contiguous (of all tensors, and of each alone),
/// float32 and bfloat16, other weights and buffers, and a second call. What was matched by pattern is run
/// likewise: the reference layer beside its replacement, with the weights and the inputs of the match. What
/// the model does not come to there is looked for with other sizes, numbers and flags; a layer then runs on
/// inputs made for it alone, and where none can be made, or for a match, it does not pass. The whole models
/// run on other sizes, numbers of dimensions, arguments, layouts and dtypes as well. Exported methods run as
/// forward does, on inputs of the forms that were traced or on ones found by trying. Where the report says
/// that layers were replaced for training, models in evaluation are set to training meanwhile; layers that
/// tell the two apart are compared in both. `original` is a copy
/// that with_own_code() made before kernelize(), or loaded once more; one that shares the code of a
/// module with the kernelized model is refused: Error(usage).
///
/// Of a model that was kernelized for training the gradients of the floating arguments and the parameters are
/// compared as the results are, for the same random gradients of the results: of layers on all inputs of
/// usual values, of models on their own.
///
/// Each call begins with the same state of the random number generator; what draws random numbers is compared
/// from several ones, without the original in float64. Where a replaced layer draws other numbers than its
/// original in training, so that it leaves the generator in another state, its results there are compared in
/// shape, dtype and being finite alone, its gradients in not being zero, and all again in evaluation, also of
/// the whole models; a note says so.
///
/// A result must be equal within the tolerance, or have an error against the original in float64 that is not
/// clearly larger than the original's own, with the same shape, dtype and NaN and infinity at the same
/// places; the model's own result must be contiguous where the original's is; arguments and weights must not
/// be changed, results must not share memory with them where the original's do not, memory that the kernel
/// does not write must not be seen. What only the original refuses, or is fixed to by tracing, is left out.
/// Every call begins with the buffers and other state that the models came with, and must leave behind what
/// the original's call leaves. The models are not changed but for `original`, whose graphs tell of calls
/// afterwards; torch::jit::Method objects got from them before are no longer valid.
///
/// Throws Error(failed) when the original fails on the inputs.
Verification verify(torch::jit::Module& original, torch::jit::Module& kernelized,
                    const KernelizeReport& report, const VerifyOptions& options);

/// Runs forward on copies of the inputs, without gradients. Throws Error(failed) with the cause alone, not
/// TorchScript's traceback.
c10::IValue run_forward(torch::jit::Module& model, const std::vector<c10::IValue>& inputs);
/// The same of another method.
c10::IValue run_method(torch::jit::Module& model, const std::string& method,
                       const std::vector<c10::IValue>& inputs);

/// A copy of the model whose code can be changed apart; parameters are shared, not copied.
torch::jit::Module with_own_code(const torch::jit::Module& model);

/// Removes the code of such a copy, which would live as long as the model that it was made from. The copy
/// cannot run afterwards.
void drop_own_code(const torch::jit::Module& copy);

/// Arguments for the model's forward, or another method: of the shapes and dtypes that tracing left in the
/// archive, else found by trying what the parameters' shapes suggest. Masks are ones. Whole numbers are
/// indices from all rows of the table that they look up in. Nothing when none is found on which the model
/// runs.
std::optional<std::vector<c10::IValue>> infer_inputs(const torch::jit::Module& model,
                                                     const std::filesystem::path& archive, std::uint64_t seed,
                                                     const std::string& method = "forward");

}  // namespace kernels::torchscript
