// Seeing what the modules of a model are called with.
#pragma once

#include <torch/csrc/jit/ir/ir.h>
#include <torch/script.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace kernels::torchscript {

/// Called inside of the model's run, before a module's own code, or at a place in a graph: with the module or
/// the number of the place, the module's method, and the arguments.
using CallObserver =
    std::function<void(const c10::IValue&, const std::string&, const std::vector<c10::IValue>&)>;

/// Makes the forward of these classes, and its repetitions, tell of each call. Nothing else of the graphs
/// changes.
void watch_calls(const std::set<c10::ClassTypePtr>& classes);

/// Makes a graph tell of these values, under a number, each time before it comes to the node.
void watch_values(torch::jit::Node* before, const std::vector<torch::jit::Value*>& values, int64_t number);

/// While it lives, what this thread runs of that goes to `observer`; what the observer runs itself does not.
class CallObservation {
  public:
    explicit CallObservation(CallObserver observer);
    ~CallObservation();
    CallObservation(const CallObservation&) = delete;
    CallObservation& operator=(const CallObservation&) = delete;

  private:
    CallObserver m_observer;
};

}  // namespace kernels::torchscript
