// Checking what was matched by pattern.
#pragma once

#include <torch/script.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "graph_pattern.hpp"
#include "pair_check.hpp"

namespace kernels::torchscript {

/// The reference layer and its replacement, both with the weights of the match. `model` is the original.
std::pair<torch::jit::Module, torch::jit::Module> modules_of(const PatternMatch& match,
                                                             const torch::jit::Module& model);

/// Makes the original tell of the reference's arguments, and then of its results, when it has come to the end
/// of a match, under the match's place in the list; see watch_values. Matches whose arguments are not all
/// known are left out.
void watch_matches(const std::vector<std::shared_ptr<const PatternMatch>>& matches,
                   const torch::jit::Module& model);

/// Whether the reference, with the weights of the match, computes what the model does there. Empty when it
/// does, else what differs.
std::string difference_from_model(const PatternMatch& match, torch::jit::Module& reference,
                                  const std::vector<c10::IValue>& arguments,
                                  const std::vector<c10::IValue>& results, const Tolerance& tolerance);

}  // namespace kernels::torchscript
