// Seeing what the modules of a model are called with.
#pragma once

#include <torch/script.h>

#include <functional>
#include <set>
#include <vector>

namespace kernels::torchscript {

/// Called before the module's own code, inside of the model's run, with the module and its arguments.
using CallObserver = std::function<void(const torch::jit::Module&, const std::vector<c10::IValue>&)>;

/// Makes the forward of these classes tell of each call. Nothing else of the graphs changes.
void watch_calls(const std::set<c10::ClassTypePtr>& classes);

/// While it lives, this thread's calls of watched modules go to `observer`; calls that the observer makes
/// itself do not.
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
