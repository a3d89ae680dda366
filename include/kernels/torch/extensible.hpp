// What the layers of a C++ model (torch::nn::Module) that can call kernels have in common; see native.hpp for
// how to make one.
#pragma once

#include <torch/script.h>
#include <torch/torch.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace kernels::torchscript {
struct LoadedKernel;
}

namespace kernels::native {

/// Values that a kernel's layer reads from `self` beside parameters, buffers and `training`: numbers, flags,
/// texts, tensors.
using Attributes = std::map<std::string, c10::IValue>;

/// The types of a forward, as TorchScript knows them.
struct Signature {
    std::vector<c10::TypePtr> arguments;
    c10::TypePtr result;
};

class BoundForward;

/// A layer whose calls can go to a kernel. kernelize finds these by dynamic_cast; nothing is to be called
/// here.
///
/// Thread-safe as modules are: calls from several threads are, but not beside kernelize.
class ExtensibleLayer {
  public:
    virtual ~ExtensibleLayer();
    /// The name under which mappings are searched.
    const std::string& kernel_layer_name() const noexcept { return m_name; }
    /// Whether calls go to a kernel.
    bool kernelized() const noexcept { return m_kernel != nullptr; }

    /// The layer as the module that it is.
    virtual const torch::nn::Module& module() const = 0;
    /// All parameters of the layer itself, those that are not defined as well.
    virtual const torch::OrderedDict<std::string, torch::Tensor>& own_parameters() const = 0;
    /// The types of its forward.
    virtual Signature signature() const = 0;
    /// What the layer declares by kernel_attributes(), or its binding does.
    virtual Attributes attributes() const = 0;

    /// For kernelize, of a layer that it puts in the place of another one: how to make a layer of that type
    /// again, which shares its tensors.
    using MakePlain = std::function<torch::nn::AnyModule(const torch::nn::Module&)>;
    const MakePlain& make_plain() const noexcept { return m_make_plain; }
    void set_make_plain(MakePlain make) { m_make_plain = std::move(make); }

    /// For kernelize: the kernel that calls go to from now on; nullptr: the layer's own forward.
    void set_kernel(std::shared_ptr<BoundForward> bound) noexcept;

  protected:
    explicit ExtensibleLayer(std::string name) : m_name(std::move(name)) {}
    /// A copy calls the same kernel, with its own parameters.
    ExtensibleLayer(const ExtensibleLayer& other);
    ExtensibleLayer& operator=(const ExtensibleLayer&) = delete;

    /// Runs the kernel with this layer as `self`.
    c10::IValue call_kernel(std::vector<c10::IValue> arguments);

  private:
    std::string m_name;
    MakePlain m_make_plain;
    std::shared_ptr<const torchscript::LoadedKernel> m_kernel;
    std::shared_ptr<BoundForward> m_bound;  ///< nullptr in a copy that was not called yet
    std::mutex m_mutex;
};

}  // namespace kernels::native
