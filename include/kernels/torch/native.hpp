// C++ models (torch::nn::Module) whose layers call kernels from the Hub.
//
//     struct PlainRMSNorm : torch::nn::Module {                 // a layer as any other
//         torch::Tensor forward(torch::Tensor x);
//         kernels::native::Attributes kernel_attributes() const { return {{"variance_epsilon", m_eps}}; }
//         …
//     };
//     using RMSNormImpl = kernels::native::UseKernelForwardFromHub<PlainRMSNorm, "RMSNorm">;
//     TORCH_MODULE(RMSNorm);
//
//     kernels::layer::register_kernel_mapping(…);
//     kernels::native::kernelize(*model, {.mode = kernels::layer::Mode::inference});
//
// The layer's own forward stays the fallback. After kernelize calls go to the kernel's forward, to which the
// module is `self`: its parameters and buffers under their registered names, `training`, and what
// kernel_attributes() declares. They are the module's own tensors, so optimizers, .to(), torch::load and
// backward see and are seen; a parameter that was registered without a tensor is None. Of its children it
// sees the same, but cannot call them.
#pragma once

#include <functional>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include "kernels/torch/kernel_forward.hpp"
#include "kernels/torch/kernelize.hpp"

namespace kernels::native {

using torchscript::KernelizeOptions;

/// A function as a layer without state.
template <typename Signature>
class FunctionLayer;
template <typename R, typename... Args>
class FunctionLayer<R(Args...)> : public torch::nn::Module {
  public:
    /// `function` must hold something to call.
    explicit FunctionLayer(std::function<R(Args...)> function) : m_function(std::move(function)) {}
    /// Calls the function.
    R forward(Args... arguments) { return m_function(std::forward<Args>(arguments)...); }

  private:
    std::function<R(Args...)> m_function;
};

/// An extensible function as a member of a module, called like a function: KernelFunction<Tensor(Tensor)>.
template <typename Signature>
using KernelFunction = torch::nn::ModuleHolder<KernelForward<FunctionLayer<Signature>>>;

/// Makes a function extensible under a name. It must be registered with the module that calls it, as its
/// member:
///
///     KernelFunction<Tensor(Tensor)> m_relu = register_module("relu", use_kernel_func_from_hub("relu",
///     relu));
template <typename R, typename... Args>
KernelFunction<R(Args...)> use_kernel_func_from_hub(const std::string& func_name,
                                                    std::function<R(Args...)> function) {
    return std::make_shared<KernelForward<FunctionLayer<R(Args...)>>>(std::in_place, func_name,
                                                                      std::move(function));
}
template <typename Function>
auto use_kernel_func_from_hub(const std::string& func_name, Function function) {
    return use_kernel_func_from_hub(func_name, std::function(std::move(function)));
}

/// Which layers of a type of somebody else carry a layer name; see replace_kernel_forward_from_hub, which
/// makes them.
struct TypeBinding {
    std::string layer_name;
    std::function<bool(const torch::nn::Module&)> is_type;    ///< exactly
    std::function<bool(const torch::nn::Module&)> is_a;       ///< of the type or of one derived from it
    std::function<bool(const TypeBinding&)> is_base_of;       ///< the other binding's type is derived from it
    std::function<void()> throw_type;                         ///< for is_base_of: throws a `const Layer*`
    std::function<bool(const torch::nn::Module&)> condition;  ///< empty: always
    /// An extensible layer in place of the given one.
    std::function<torch::nn::AnyModule(const torch::nn::Module&)> adapt;
};

/// Gives layers of a type that cannot be changed (torch::nn::LayerNormImpl, say) a layer name, for kernelize.
/// `condition` is asked once for each; `attributes` says what the kernel may read from `self` beside
/// parameters and buffers.
///
/// C++ calls a forward by the static type of the member, so a layer that another module holds as a member of
/// its own type cannot be redirected: declare that member as UseKernelForwardFromHub<Layer, "name">. What can
/// be redirected are the elements of torch::nn::Sequential; each is put into a KernelForward<Layer>, which is
/// still a Layer and shares parameters, buffers and children with it under the same names; unkernelize puts a
/// Layer there again. Until then ask for such an element by `seq[i]->as<Layer>()`: `seq->at<Layer>(i)`
/// compares the exact type and does not find it. Layers that cannot be redirected are reported as kept, and
/// are errors where use_fallback does not cover them; those whose condition is false stay as they are.
///
/// Layers of a type that is derived from `Layer` carry the name too, as in Python, if none of the bindings is
/// for a type that is nearer to theirs. They are reported as kept as well: a Layer in their place would lose
/// what the derived type added. Bind the derived type itself to have them replaced. Of several bindings for
/// one type the first counts.
template <typename Layer>
TypeBinding replace_kernel_forward_from_hub(std::string layer_name,
                                            std::function<bool(const Layer&)> condition = {},
                                            std::function<Attributes(const Layer&)> attributes = {}) {
    TypeBinding binding;
    binding.layer_name = layer_name;
    binding.is_type = [](const torch::nn::Module& module) { return typeid(module) == typeid(Layer); };
    binding.is_a = [](const torch::nn::Module& module) {
        return dynamic_cast<const Layer*>(&module) != nullptr;
    };
    // Only catching tells at run time of two types whether one is derived from the other.
    binding.throw_type = [] { throw static_cast<const Layer*>(nullptr); };
    binding.is_base_of = [](const TypeBinding& other) {
        try {
            other.throw_type();
        } catch (const Layer*) {
            return true;
        } catch (...) {
        }
        return false;
    };
    if (condition) {
        binding.condition = [condition = std::move(condition)](const torch::nn::Module& module) {
            return condition(dynamic_cast<const Layer&>(module));
        };
    }
    binding.adapt = [layer_name = std::move(layer_name),
                     attributes = std::move(attributes)](const torch::nn::Module& module) {
        auto adapted = std::make_shared<KernelForward<Layer>>(dynamic_cast<const Layer&>(module), layer_name,
                                                              attributes);
        adapted->set_make_plain([](const torch::nn::Module& made) {
            return torch::nn::AnyModule(std::make_shared<Layer>(dynamic_cast<const Layer&>(made)));
        });
        return torch::nn::AnyModule(std::move(adapted));
    };
    return binding;
}

/// Sends the calls of every extensible layer of the model to its kernel. Begins with the original forwards,
/// as torchscript::kernelize does, with the same options (but bindings, which are for TorchScript), errors
/// and report. When it throws the model is as it was.
///
/// For training a kernel must have gradients: operators with an autograd kernel. One whose backward is a
/// Python autograd function is refused, with that reason.
runtime::Manifest kernelize(torch::nn::Module& model, const KernelizeOptions& options,
                            const std::vector<TypeBinding>& types = {});

/// Gives every layer its own forward back, and elements of Sequential their own type; false when none called
/// a kernel.
bool unkernelize(torch::nn::Module& model);

}  // namespace kernels::native
