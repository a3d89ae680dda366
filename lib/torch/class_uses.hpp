// Where a model has modules of a class, which of its own methods come to theirs, and what writes their
// attributes.
#pragma once

#include <torch/script.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "own_arguments.hpp"

namespace kernels::torchscript {

/// Knows the writes that the model had when this was made; looks at the rest once, when first asked.
class ClassUses {
  public:
    explicit ClassUses(torch::jit::Module model);
    const std::vector<torch::jit::Module>& instances(const c10::ClassTypePtr& type);
    /// The model's methods, and hooks of its modules, from which calls come to this one, of a class of its
    /// modules.
    std::vector<std::string> callers(const torch::jit::Function& method);
    /// Whether one of them comes to a forward of the class, or to a method of an interface, which may be one.
    bool is_called(const c10::ClassTypePtr& type);
    /// An attribute of the layer, or of an object in it, that code of the model writes, as text: "its eps is
    /// written by the model's set_eps". Attributes are told apart by class only.
    std::optional<std::string> written_in(const torch::jit::Module& layer) const;
    const OwnArguments& own_arguments(const torch::jit::Function& method) {
        return m_own_arguments.of(method);
    }

  private:
    struct Write {
        std::string attribute;
        const torch::jit::Function* by;
    };
    void collect_writes(const torch::jit::Function& function);
    std::string writer(const torch::jit::Function& function, const c10::ClassType& layer) const;
    void find_callers();
    void note_calls(const torch::jit::Function& caller);

    torch::jit::Module m_model;
    OwnArgumentSearch m_own_arguments;
    std::map<std::string, Write> m_writes;  // the first of each class, by qualified names
    std::map<const c10::ClassType*, std::vector<torch::jit::Module>> m_instances;
    bool m_calls_any = false;  // a method of an interface
    /// By qualified names, which copies keep; nothing before it is asked for.
    std::optional<std::map<std::string, std::vector<std::string>>> m_callers;
};

}  // namespace kernels::torchscript
