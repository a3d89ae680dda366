// Layers of C++ models whose forward can go to a kernel; see native.hpp.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "kernels/torch/extensible.hpp"

namespace kernels::native {

/// The signature of a forward: R(Args...).
template <typename Pointer>
struct ForwardOf;
template <typename R, typename Class, typename... Args>
struct ForwardOf<R (Class::*)(Args...)> : std::type_identity<R(Args...)> {};
template <typename R, typename Class, typename... Args>
struct ForwardOf<R (Class::*)(Args...) const> : std::type_identity<R(Args...)> {};

/// `Layer` with a forward that can go to a kernel; the layer name is given at run time. A forward that is
/// overloaded must be named by its signature. Default arguments of forward are not kept: C++ cannot ask for
/// them (those of FORWARD_HAS_DEFAULT_ARGS are). A class that is derived from it keeps the forward that goes
/// to the kernel: one of its own with the same parameters does not compile. (One with other parameters does,
/// and calls of that do not go to the kernel.) Where the derived class is to have its own, make that one
/// extensible: KernelForward<Derived>, with Derived from Layer.
template <typename Layer, typename Forward = typename ForwardOf<decltype(&Layer::forward)>::type>
class KernelForward;

template <typename Layer, typename R, typename... Args>
class KernelForward<Layer, R(Args...)> : public Layer, public ExtensibleLayer {
    static_assert(!std::derived_from<Layer, ExtensibleLayer>, "the layer is extensible already");

  public:
    using AttributesOf = std::function<Attributes(const Layer&)>;

    /// Makes the layer from the arguments of one of its constructors.
    template <typename... Arguments>
    explicit KernelForward(std::in_place_t, std::string layer_name, Arguments&&... arguments)
        : Layer(std::forward<Arguments>(arguments)...), ExtensibleLayer(std::move(layer_name)) {}
    /// Takes the place of a layer: parameters, buffers and children are shared with it, all else is copied.
    KernelForward(const Layer& layer, std::string layer_name, AttributesOf attributes_of = {})
        : Layer(layer), ExtensibleLayer(std::move(layer_name)), m_attributes_of(std::move(attributes_of)) {}

    /// The kernel's forward, or the layer's own. Virtual so that no derived class can have the same, which
    /// kernelize would not reach.
    virtual R forward(Args... arguments) final {
        if (!kernelized()) return Layer::forward(std::forward<Args>(arguments)...);
        return call_kernel({c10::IValue(arguments)...}).template to<std::decay_t<R>>();
    }

    std::shared_ptr<torch::nn::Module> clone(
        const std::optional<torch::Device>& device = std::nullopt) const override {
        return clone_as<KernelForward>(device);
    }

    const torch::nn::Module& module() const override { return *this; }
    const torch::OrderedDict<std::string, torch::Tensor>& own_parameters() const override {
        return this->parameters_;
    }
    Signature signature() const override {
        return {{c10::getTypePtrCopy<std::decay_t<Args>>()...}, c10::getTypePtrCopy<std::decay_t<R>>()};
    }
    Attributes attributes() const override {
        if (m_attributes_of) return m_attributes_of(*this);
        if constexpr (requires(const Layer& layer) {
                          { layer.kernel_attributes() } -> std::convertible_to<Attributes>;
                      }) {
            return this->kernel_attributes();
        } else {
            return {};
        }
    }

  protected:
    template <typename Final>
    std::shared_ptr<torch::nn::Module> clone_as(const std::optional<torch::Device>& device) const {
        const auto own = std::dynamic_pointer_cast<Layer>(Layer::clone(device));
        if constexpr (std::copyable<Layer>) {
            auto copy = std::make_shared<Final>(static_cast<const Final&>(*this));
            static_cast<Layer&>(*copy) = *own;
            return copy;
        } else {
            TORCH_CHECK(false, "clone() needs a layer that can be copied and assigned");
        }
    }

  private:
    AttributesOf m_attributes_of;
};

/// A layer name as a template argument.
template <std::size_t size>
struct LayerName {
    char text[size] = {};
    constexpr LayerName(const char (&name)[size]) { std::copy_n(name, size, text); }  // NOLINT
};

/// `Layer`, extensible under a name: what Python's decorator use_kernel_forward_from_hub makes of a class. It
/// has the layer's constructors.
template <typename Layer, LayerName name,
          typename Forward = typename ForwardOf<decltype(&Layer::forward)>::type>
class UseKernelForwardFromHub : public KernelForward<Layer, Forward> {
  public:
    template <typename... Arguments>
    requires(std::constructible_from<Layer, Arguments...> &&
             !(std::same_as<std::remove_cvref_t<Arguments>, UseKernelForwardFromHub> ||
               ...)) explicit UseKernelForwardFromHub(Arguments&&... arguments)
        : KernelForward<Layer, Forward>(std::in_place, name.text, std::forward<Arguments>(arguments)...) {}
    UseKernelForwardFromHub(const UseKernelForwardFromHub&) = default;

    std::shared_ptr<torch::nn::Module> clone(
        const std::optional<torch::Device>& device = std::nullopt) const override {
        return this->template clone_as<UseKernelForwardFromHub>(device);
    }
};

}  // namespace kernels::native
