// Arguments of traced methods that their own module holds.
#pragma once

#include <torch/script.h>

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace kernels::torchscript {

/// The places of a method's arguments, `self` being 0, that are attributes of its module at every call, such
/// as 1 and "weight".
using OwnArguments = std::map<std::size_t, std::string>;

/// A module that is held in several places gets its own weights as arguments when it is traced: each tensor
/// is read where tracing saw it first. Which these are is told by following the model's objects through all
/// calls of its methods.
class OwnArgumentSearch {
  public:
    explicit OwnArgumentSearch(torch::jit::Module model) : m_model(std::move(model)) {}
    /// None for what cannot be traced, and where what the model does is not all known. The model is walked
    /// through when this is first asked for more than one argument.
    const OwnArguments& of(const torch::jit::Function& method);

  private:
    using Known = std::vector<c10::IValue>;  // modules, objects and tensors; none for what is not known
    void walk(const torch::jit::Function& function, const Known& inputs);
    void walk(torch::jit::Graph& graph, const Known& inputs);
    void walk(torch::jit::Block* block, std::map<const torch::jit::Value*, c10::IValue>& known);
    void note_call(const torch::jit::Function& method, const Known& inputs);

    torch::jit::Module m_model;
    bool m_walked = false;
    bool m_all_known = true;
    std::set<std::pair<const torch::jit::Function*, std::vector<const void*>>> m_seen;
    std::map<std::string, std::vector<std::set<std::string>>>
        m_paths;  // by qualified names, which copies keep
    std::map<std::string, OwnArguments> m_found;
};

/// Has the method's graph read the attributes instead of the arguments.
void read_own(torch::jit::Graph& graph, const OwnArguments& own);

}  // namespace kernels::torchscript
