#include "bound_forward.hpp"

#include <regex>

#include "frontend.hpp"
#include "graph_calls.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels::native {
namespace {

using torchscript::refuse;

using torch::jit::Module;

// Calls visit(name, tensor) for the module's own parameters and buffers.
template <typename Visit>
void each_tensor(const torch::nn::Module& module, const ExtensibleLayer* layer, Visit visit) {
    if (layer != nullptr) {
        for (const auto& item : layer->own_parameters())
            visit(item.key(), item.value());
    } else {
        for (const auto& item : module.named_parameters(false))
            visit(item.key(), item.value());
    }
    for (const auto& item : module.named_buffers(false))
        visit(item.key(), item.value());
}

// A TorchScript object that has the tensors, the children and `training` of a module.
Module object_for(const torch::nn::Module& module, const std::string& name, const ExtensibleLayer* layer) {
    Module object{c10::QualifiedName(name)};
    object.register_attribute("training", c10::BoolType::get(), module.is_training());
    each_tensor(module, layer, [&](const std::string& key, const at::Tensor& tensor) {
        if (tensor.defined()) {
            object.register_attribute(key, c10::TensorType::get(), tensor);
        } else {
            object.register_attribute(key, c10::NoneType::get(), c10::IValue());
        }
    });
    for (const auto& child : module.named_children())
        object.register_module(child.key(), object_for(*child.value(), name + "." + child.key(), nullptr));
    return object;
}

// Puts a value where another one is; false when it is of another type, or there is no such place.
bool take(const Module& object, const std::string& name, const c10::IValue& value) {
    const auto slot = object.type()->findAttributeSlot(name);
    if (!slot) return false;
    const auto held = object._ivalue()->getSlot(*slot);
    if (held.is(value)) return true;
    if (!value.type()->isSubtypeOf(*object.type()->getAttribute(*slot))) return false;
    object._ivalue()->setSlot(*slot, value);
    return true;
}

// Makes the object hold what the module holds now; false when that is of another kind than before.
bool take_over(const Module& object, const torch::nn::Module& module, const ExtensibleLayer* layer) {
    bool same = take(object, "training", module.is_training());
    each_tensor(module, layer, [&](const std::string& key, const at::Tensor& tensor) {
        same = same && take(object, key, tensor.defined() ? c10::IValue(tensor) : c10::IValue());
    });
    for (const auto& child : module.named_children()) {
        const auto slot = object.type()->findAttributeSlot(child.key());
        if (!slot || !object._ivalue()->getSlot(*slot).isModule()) return false;
        same = same && take_over(object._ivalue()->getSlot(*slot).toModule(), *child.value(), nullptr);
    }
    if (layer != nullptr) {
        for (const auto& [key, value] : layer->attributes())
            same = same && take(object, key, value);
    }
    return same;
}

void check_count(std::size_t offered, std::size_t wanted) {
    if (offered == wanted) return;
    refuse("the kernel's layer takes " + counted(offered, "argument") + ", this one " +
           std::to_string(wanted));
}

// What TorchScript's message about a child of the layer means; `message` itself for others.
std::string in_terms_of_children(const std::string& message, const std::string& layer_type) {
    const std::regex of_child("\\.(\\w+) is taken of a value of type " +
                              std::regex_replace(layer_type, std::regex("\\."), "\\.") +
                              "\\.([\\w.]*\\w), which has none");
    std::smatch found;
    if (!std::regex_search(message, found, of_child)) return message;
    const std::string child = found[2].str();
    const std::string what = found[1] == "forward"
                                 ? "it calls " + child + ", a child of the layer"
                                 : "it takes " + found[1].str() + " of " + child + ", a child of the layer";
    return found.prefix().str() + what +
           ": of the children of a C++ layer a kernel sees the parameters, buffers and `training` alone" +
           found.suffix().str();
}

// What the kernel's layer can read, for messages.
std::string members_of(const Module& object) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < object.type()->numAttributes(); ++i)
        names.push_back(object.type()->getAttributeName(i));
    return join(names, ", ");
}

}  // namespace

BoundForward::BoundForward(std::shared_ptr<const torchscript::LoadedKernel> kernel,
                           const ExtensibleLayer& layer)
    : m_kernel(std::move(kernel)) {
    // Before compiling, which would leave the arguments that the layer does not give to their defaults.
    const auto& forward = m_kernel->layer.forward;
    if (const auto unfit = forward.unfit_parameter(); !unfit.empty()) refuse("the kernel's layer " + unfit);
    check_count(forward.argument_count(), layer.signature().arguments.size());
    bind(layer);
    check_signature(layer);
}

void BoundForward::bind(const ExtensibleLayer& layer) {
    m_self = object_for(layer.module(), "__torch__.native." + m_kernel->plan.hub_layer, &layer);
    for (const auto& [name, value] : layer.attributes()) {
        if (m_self.hasattr(name))
            refuse("the layer declares the attribute " + name + ", which is also one of its own members");
        m_self.register_attribute(name, value.type(), value);
    }
    try {
        torchscript::compile_method(m_self, m_self.type(), "forward", m_kernel->layer.forward,
                                    {m_kernel->plan.op_namespace, {}, {}, layer.signature().arguments, true});
    } catch (const Error& error) {
        const std::string what = in_terms_of_children(error.what(), m_self.type()->name()->qualifiedName());
        const bool lacks = what.find("needs the attribute") != std::string::npos;
        throw Error(error.code(), lacks ? what + "; it has " + members_of(m_self) : what);
    }
}

void BoundForward::check_signature(const ExtensibleLayer& layer) const {
    const auto& schema = function().getSchema();
    const Signature wanted = layer.signature();
    const std::size_t offered = schema.arguments().size() - 1;
    check_count(offered, wanted.arguments.size());
    for (std::size_t i = 0; i < offered; ++i) {
        const auto& argument = schema.arguments()[i + 1];
        if (argument.kwarg_only()) refuse("the kernel's layer takes " + argument.name() + " by keyword only");
        if (!wanted.arguments[i]->isSubtypeOf(*argument.type())) {
            refuse("the kernel's layer takes a " + argument.type()->str() + " as argument " +
                   std::to_string(i + 1) + ", this one a " + wanted.arguments[i]->str());
        }
    }
    const auto& result = schema.returns().front().type();
    if (!result->isSubtypeOf(*wanted.result))
        refuse("the kernel's layer returns " + result->str() + ", this one " + wanted.result->str());
}

c10::IValue BoundForward::call(const ExtensibleLayer& layer, std::vector<c10::IValue> arguments) {
    std::unique_lock lock(m_mutex);
    if (!take_over(m_self, layer.module(), &layer)) bind(layer);
    const auto method = m_self.get_method("forward");
    lock.unlock();
    return method(std::move(arguments));
}

ExtensibleLayer::~ExtensibleLayer() = default;

ExtensibleLayer::ExtensibleLayer(const ExtensibleLayer& other)
    : m_name(other.m_name), m_make_plain(other.m_make_plain), m_kernel(other.m_kernel) {}

void ExtensibleLayer::set_kernel(std::shared_ptr<BoundForward> bound) noexcept {
    m_kernel = bound != nullptr ? bound->kernel() : nullptr;
    m_bound = std::move(bound);
}

c10::IValue ExtensibleLayer::call_kernel(std::vector<c10::IValue> arguments) {
    std::unique_lock lock(m_mutex);
    if (m_bound == nullptr) m_bound = std::make_shared<BoundForward>(m_kernel, *this);
    const auto bound = m_bound;
    lock.unlock();
    return bound->call(*this, std::move(arguments));
}

}  // namespace kernels::native
