// --verify: what is checked, and how it is told.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "common/program.hpp"
#include "kernels/torch/model.hpp"
#include "kernels/torch/verify.hpp"

namespace kernels::app {

/// Verifies with the inputs of --input, else with ones that are inferred. Throws Error(usage) when none can
/// be inferred, and Error(kernelize) that names every layer with a difference.
torchscript::Verification verify(const std::filesystem::path& path, torch::jit::Module& original,
                                 torch::jit::Module& kernelized, const torchscript::KernelizeReport& report,
                                 const Context& context);

/// {"passed" (null: nothing was replaced, so nothing was run), "largest-difference", "cases", "layers":
/// [{"module", "layer", "largest-difference", "cases", "notes"}]}
nlohmann::ordered_json to_json(const torchscript::Verification& verification);

void print(const torchscript::Verification& verification);

}  // namespace kernels::app
