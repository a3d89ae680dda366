// A kernel's code in the place of a layer's.
#pragma once

#include <torch/script.h>

#include "rewrite.hpp"

namespace kernels::torchscript {

/// Whether the code, or what it calls, changes tensors or attributes.
bool changes_in_place(torch::jit::Graph& graph);

/// Throws Error(kernelize) for a forward that changes something in place and returns values besides its
/// result: these are computed as before, and the rest of the forward goes.
void require_removable(torch::jit::Graph& graph, const Place& place);

/// Puts the hub method's graph in the place of the forward's, its result where the layer's own was. Nothing
/// of the forward stays but what else it returns: what it changed, raised or drew is then the kernel's to do.
void splice(torch::jit::Graph& graph, const Place& place, torch::jit::Graph& hub, const Arguments& arguments);

}  // namespace kernels::torchscript
