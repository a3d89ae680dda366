// Walking through graphs, calls of compiled functions in them, and where in a kernel's source a node comes
// from.
#pragma once

#include <torch/script.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace kernels::torchscript {

/// The place of what is none of a kernel's file.
constexpr const char* unknown_place = "the kernel's source";

/// "file:line" of the source.
std::string place(const torch::jit::SourceRange& where);

/// Throws Error(kernelize).
[[noreturn]] void refuse(const std::string& why);

/// Throws Error(kernelize) "file:line: why".
[[noreturn]] void refuse(const torch::jit::SourceRange& where, const std::string& why);

/// Calls `visit` for every node of the block and of the blocks in it; what is within a node comes before it.
void for_each_node(torch::jit::Block* block, const std::function<void(torch::jit::Node*)>& visit);

/// The graphs of the methods of a module and of all modules in it, each once.
std::vector<torch::jit::Graph*> graphs_of(const torch::jit::Module& module);

/// The function or method that a node calls; nullptr for a node that calls none, and for a method of an
/// interface, which may be any.
const torch::jit::Function* function_called(const torch::jit::Node* node);

/// The function and all that it calls; false when it calls methods of an interface, which may be any.
bool collect_called(const torch::jit::Function& function, std::set<const torch::jit::Function*>& called);

/// Calls a function that was compiled for values of these types.
torch::jit::Value* call_compiled(torch::jit::Graph& graph, torch::jit::Function& compiled,
                                 const std::vector<torch::jit::Value*>& values);

/// Puts the bodies of called functions (not methods) in the place of their calls. Throws Error(kernelize)
/// when that makes the graph too large.
void inline_functions(torch::jit::Graph& graph);

}  // namespace kernels::torchscript
