// Putting a compiled hub layer in the place of a layer's own forward.
#pragma once

#include <torch/script.h>

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "class_uses.hpp"
#include "frontend.hpp"
#include "layer_arguments.hpp"
#include "loaded_kernel.hpp"

namespace kernels::torchscript {

/// The place of a layer's own result in its graph: the output itself, or one element of the tuple where
/// tracing lifted further values out.
struct Place {
    torch::jit::Node* tuple = nullptr;
    std::size_t index = 0;
    torch::jit::Value* result = nullptr;
    std::vector<std::size_t> order;  ///< the hub layer's results, where not all in their order
};

/// Throws Error(kernelize) when it cannot be told, or is of another type than the one offered.
Place find_place(torch::jit::Graph& graph, const c10::TypePtr& offered);

/// The values that a hub layer gives for it: the elements of a tuple, which is gone in frozen code.
std::vector<torch::jit::Value*> results_of(torch::jit::Graph& graph, const c10::TypePtr& offered);

/// The class's forward, and its repetitions: what is called several times is traced into a method for each
/// call, also where a scripted method calls it as well.
std::vector<torch::jit::Function*> forwards(const c10::ClassTypePtr& type);

/// A hub layer compiled as a method of the class of `layer`, for as long as this lives.
class HubMethod {
  public:
    /// `own`: see arguments_for().
    HubMethod(const torch::jit::Module& layer, const LayerSource& hub_layer, const KernelLayer& kernel,
              const Given& given, const OwnArguments& own = {});
    ~HubMethod();
    HubMethod(const HubMethod&) = delete;
    HubMethod& operator=(const HubMethod&) = delete;
    const torch::jit::Function& function() const;
    torch::jit::Graph& graph() const;

  private:
    torch::jit::Module m_layer;
    c10::ClassTypePtr m_type;
    std::string m_name;  ///< one that the class has for nothing else
};

/// What is known of a forward that was replaced.
struct ReplacedForward {
    bool calls_modules = false;  ///< the kernel's calls modules that the layer holds
    bool follows_training =
        false;  ///< the kernel's reads `training`, and tracing has fixed it in the original
};

/// Replaces the forward of `layer`'s class, and its repetitions where they are seen to compute the same for
/// all modules of the class. Throws Error(kernelize) with the reason when that is not possible; the class is
/// unchanged then.
ReplacedForward replace_forward(const torch::jit::Module& layer, const LayerSource& hub_layer,
                                const KernelLayer& kernel, const Given& given, ClassUses& uses);

}  // namespace kernels::torchscript
