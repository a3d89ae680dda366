// Where a model has modules of a class, and which of its own methods come to theirs.
#pragma once

#include <torch/script.h>

#include <map>
#include <string>
#include <vector>

namespace kernels::torchscript {

/// Looks at the model once, when first asked.
class ClassUses {
  public:
    explicit ClassUses(torch::jit::Module model) : m_model(std::move(model)) {}
    const std::vector<torch::jit::Module>& instances(const c10::ClassTypePtr& type);
    /// The model's methods from which calls come to this one, of a class of its modules.
    std::vector<std::string> callers(const torch::jit::Function& method);

  private:
    torch::jit::Module m_model;
    std::map<const c10::ClassType*, std::vector<torch::jit::Module>> m_instances;
    std::map<std::string, std::vector<std::string>> m_callers;  // by qualified names, which copies keep
};

}  // namespace kernels::torchscript
