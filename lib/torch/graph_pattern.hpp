// Finding layers in graphs whose classes are gone: frozen and inlined models.
#pragma once

#include <torch/script.h>

#include <string>
#include <vector>

#include "kernels/torch/kernelize.hpp"
#include "rewrite.hpp"

namespace kernels::torchscript {

/// Replaces, in all methods of the model, what computes the same as the forward of `reference` by the hub
/// layer. The reference's graph is normalized as freezing does it. Its inputs match any value; its
/// parameters, buffers excepted, and float attributes match constants and attributes of the model, which the
/// hub layer gets in their place; everything else must be equal. Where something between its first and last
/// step changes values in place, nothing is replaced.
///
/// Gives the places: "forward[0]", with the path of the module before it where that is not the root. Throws
/// Error(kernelize) with the reason when the hub layer cannot take the place of the reference.
std::vector<std::string> replace_matches(torch::jit::Module& model, const torch::jit::Module& reference,
                                         const LayerSource& hub_layer, const KernelLayer& kernel,
                                         const Given& given);

}  // namespace kernels::torchscript
