// What a hub layer reads from its layer and tracing has left in the code only.
#pragma once

#include <torch/script.h>

#include <map>
#include <optional>
#include <set>
#include <string>

#include "kernels/project/project.hpp"

namespace kernels::torchscript {

/// Whether `eps` or `epsilon` is a word of the name: layer_norm_eps, eps1, varianceEpsilon; not steps.
bool names_epsilon(const std::string& name);

/// The number that a graph, or a function that it calls, adds before it takes a root, or gives a norm
/// operator as `eps`; nothing unless there is exactly one.
std::optional<double> recover_epsilon(const torch::jit::Graph& graph);

/// What the hub layer reads from self and the class does not have.
struct Missing {
    std::map<std::string, project::AttributeValue> constants;
    std::map<std::string, std::string> renamed;  ///< to attributes that the class has under other names
    std::set<std::string> none;                  ///< tracing leaves out what is None
};

/// Finds them among what the hub layer reads: those of `given`, and in the layer's forward epsilons, and what
/// its operators take an argument of that name for, and get None (the bias of a norm). Throws
/// Error(kernelize) for what cannot be found without guessing, and for a given epsilon that is not the
/// layer's.
Missing missing_attributes(const torch::jit::Module& layer, const std::set<std::string>& read,
                           const std::map<std::string, project::AttributeValue>& given);

}  // namespace kernels::torchscript
