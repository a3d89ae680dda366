// What can be known of the source that a layer's forward was made from.
#pragma once

#include <torch/script.h>

#include <optional>
#include <set>
#include <string>

namespace kernels::torchscript {

/// While one lives, classes of the same name and code are asked about their source once, and all answer
/// alike: libtorch keeps what it reads for that, which for a traced model, where each layer has a class of
/// its own, is more than the code.
class AskedOnce {
  public:
    AskedOnce();
    ~AskedOnce();
    AskedOnce(const AskedOnce&) = delete;
    AskedOnce& operator=(const AskedOnce&) = delete;
};

/// Whether code is or may be traced. Nothing is known of loaded code without its debug files.
bool may_be_traced(const torch::jit::Graph& graph);

/// The names of the parameters that are taken by keyword only. A saved schema does not keep that: of loaded
/// code the source tells it, where the file has it. Nothing when it cannot be known.
std::optional<std::set<std::string>> keyword_only_parameters(const torch::jit::Function& function);

}  // namespace kernels::torchscript
