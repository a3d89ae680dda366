#include "kernels/torch/native.hpp"

#include <torch/version.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "bound_forward.hpp"
#include "called_operators.hpp"
#include "kernel_choice.hpp"
#include "kernels/core/error.hpp"

namespace kernels::native {
namespace {

using namespace torchscript;

struct Found {
    std::string path;
    ExtensibleLayer* layer;
};

// A layer that is a child of several modules is there by every path.
std::vector<Found> find_layers(torch::nn::Module& model) {
    std::vector<Found> found;
    const auto look_at = [&](const std::string& path, torch::nn::Module& module) {
        auto* layer = dynamic_cast<ExtensibleLayer*>(&module);
        if (layer != nullptr) found.push_back({path, layer});
    };
    look_at("", model);
    for (const auto& item : model.named_modules("", false))
        look_at(item.key(), *item.value());
    return found;
}

// Puts the elements of Sequential containers that a binding speaks of into extensible layers, beginning with
// the elements as they were before an earlier call. What it did can be undone.
class Adaptation {
  public:
    /// A layer of a bound type that stays as it is.
    struct Kept {
        std::string path;
        std::string layer_name;
        bool wanted;      ///< by its binding's condition
        std::string why;  ///< it stays all the same
    };

    void restore(torch::nn::Module& model) {
        each_module(model, [&](const std::string&, torch::nn::Module& owner) { restore_elements(owner); });
    }

    void adapt(torch::nn::Module& model, const std::vector<TypeBinding>& types) {
        // The model itself stands in nothing that could be redirected.
        if (const auto* own = binding_of(model, types))
            keep("", model, *own, is_wanted(model, *own), nullptr);
        each_module(model, [&](const std::string& path, torch::nn::Module& owner) {
            adapt_children(owner, path, types);
        });
    }

    void undo() {
        for (auto step = m_steps.rbegin(); step != m_steps.rend(); ++step) {
            *step->element = step->original;
            step->owner->replace_module(step->name, step->original.ptr());
        }
    }

    const std::vector<Kept>& kept() const noexcept { return m_kept; }

  private:
    struct Step {
        torch::nn::SequentialImpl* owner;
        std::string name;
        torch::nn::AnyModule* element;
        torch::nn::AnyModule original;
    };

    template <typename Visit>
    static void each_module(torch::nn::Module& model, Visit visit) {
        visit("", model);
        for (const auto& item : model.named_modules("", false))
            visit(item.key(), *item.value());
    }

    void put(torch::nn::SequentialImpl& owner, const std::string& name, torch::nn::AnyModule& element,
             torch::nn::AnyModule other) {
        m_steps.push_back({&owner, name, &element, element});
        element = std::move(other);
        owner.replace_module(name, element.ptr());
    }

    void restore_elements(torch::nn::Module& owner) {
        auto* sequence = dynamic_cast<torch::nn::SequentialImpl*>(&owner);
        if (sequence == nullptr) return;
        auto element = sequence->begin();
        for (const auto& child : owner.named_children()) {
            const auto* layer = dynamic_cast<const ExtensibleLayer*>(child.value().get());
            if (layer != nullptr && layer->make_plain())
                put(*sequence, child.key(), *element, layer->make_plain()(*child.value()));
            ++element;
        }
    }

    // That of the nearest type, as Python finds a class's attributes. A layer that is extensible has its
    // name.
    static const TypeBinding* binding_of(const torch::nn::Module& module,
                                         const std::vector<TypeBinding>& types) {
        if (dynamic_cast<const ExtensibleLayer*>(&module) != nullptr) return nullptr;
        const TypeBinding* nearest = nullptr;
        for (const auto& type : types) {
            if (type.is_type(module)) return &type;
            if (!type.is_a(module)) continue;
            const bool nearer =
                nearest == nullptr || (nearest->is_base_of(type) && !type.is_base_of(*nearest));
            if (nearer) nearest = &type;
        }
        return nearest;
    }

    // Each module is asked once, in however many places it is held.
    bool is_wanted(const torch::nn::Module& module, const TypeBinding& binding) {
        const auto [known, is_new] = m_wanted.try_emplace({&binding, &module}, true);
        if (is_new && binding.condition) known->second = binding.condition(module);
        return known->second;
    }

    // `sequence` holds it, or something that cannot be redirected does.
    void keep(const std::string& path, const torch::nn::Module& module, const TypeBinding& binding,
              bool wanted, const torch::nn::SequentialImpl* sequence) {
        std::string why = "its owner calls it by its own type, which C++ cannot redirect";
        if (sequence != nullptr) {
            why = "its type " + module.name() +
                  " is derived from the one that is bound, which cannot stand for it: bind this type itself";
        }
        m_kept.push_back({path, binding.layer_name, wanted, std::move(why)});
    }

    void adapt_children(torch::nn::Module& owner, const std::string& path,
                        const std::vector<TypeBinding>& types) {
        auto* sequence = dynamic_cast<torch::nn::SequentialImpl*>(&owner);
        auto element = sequence != nullptr ? sequence->begin() : torch::nn::SequentialImpl::Iterator{};
        for (const auto& child : owner.named_children()) {
            const auto& module = *child.value();
            if (const auto* binding = binding_of(module, types)) {
                const std::string name = path.empty() ? child.key() : path + "." + child.key();
                const bool wanted = is_wanted(module, *binding);
                if (!wanted || sequence == nullptr || !binding->is_type(module)) {
                    keep(name, module, *binding, wanted, sequence);
                } else {
                    put(*sequence, child.key(), *element, binding->adapt(module));
                }
            }
            if (sequence != nullptr) ++element;
        }
    }

    std::vector<Step> m_steps;
    std::vector<Kept> m_kept;
    std::map<std::pair<const TypeBinding*, const torch::nn::Module*>, bool> m_wanted;
};

// A layer to tell of: an extensible one, or one that stays as it is.
struct Item {
    std::string path;
    ExtensibleLayer* layer;
    const Adaptation::Kept* kept;
};

std::vector<Item> items_of(torch::nn::Module& model, const std::vector<Adaptation::Kept>& kept) {
    std::map<std::string, std::size_t> place{{"", 0}};
    for (const auto& item : model.named_modules("", false))
        place.emplace(item.key(), place.size());
    std::vector<Item> items;
    for (const auto& one : find_layers(model))
        items.push_back({one.path, one.layer, nullptr});
    for (const auto& one : kept)
        items.push_back({one.path, nullptr, &one});
    std::stable_sort(items.begin(), items.end(), [&](const Item& left, const Item& right) {
        return place.at(left.path) < place.at(right.path);
    });
    return items;
}

// The layer's kernel, bound to it; nothing, with the reason in the row, when there is none.
std::shared_ptr<BoundForward> bind(const Item& one, const KernelizeOptions& options, KernelChooser& chooser,
                                   runtime::LayerEntry& row) {
    const KernelChoice& choice = chooser.choose(one.layer->kernel_layer_name());
    row = row_for(one.path, one.layer->kernel_layer_name(), choice);
    if (choice.kernel == nullptr) {
        keep(row, choice.refusal, options.use_fallback);
        return nullptr;
    }
    std::string reason = unfit_for(*choice.kernel, options.mode, *choice.mode);
    if (reason.empty()) {
        try {
            auto bound = std::make_shared<BoundForward>(choice.kernel, *one.layer);
            if (options.mode.is_training())
                reason = without_gradients(operators_called(bound->function()), {});
            if (reason.empty()) return bound;
        } catch (const Error& error) {
            reason = error.what();
        }
    }
    keep(row, {layer::NoKernel::no_mode, reason, std::nullopt}, options.use_fallback);
    return nullptr;
}

runtime::LayerEntry row_of_kept(const Adaptation::Kept& one, const KernelizeOptions& options,
                                KernelChooser& chooser) {
    if (!one.wanted) {
        auto row = row_for(one.path, one.layer_name, {});
        row.reason = "the condition of its binding does not hold";
        return row;
    }
    const KernelChoice& choice = chooser.choose(one.layer_name);
    auto row = row_for(one.path, one.layer_name, choice);
    const Refusal not_redirected{layer::NoKernel::not_redirectable, one.why, std::nullopt};
    keep(row, choice.kernel != nullptr ? not_redirected : choice.refusal, options.use_fallback);
    return row;
}

}  // namespace

runtime::Manifest kernelize(torch::nn::Module& model, const KernelizeOptions& options,
                            const std::vector<TypeBinding>& types) {
    KernelChooser chooser(options, device_of(model.parameters(), options));
    Adaptation adaptation;
    try {
        adaptation.restore(model);
        adaptation.adapt(model, types);
        runtime::Manifest manifest{
            TORCH_VERSION, chooser.device().type(), options.mode.to_string(), {}, {}, {}};
        std::map<ExtensibleLayer*, std::shared_ptr<BoundForward>> outcomes;  // by the first path that counts
        std::set<ExtensibleLayer*> not_called;
        std::optional<std::string> inside;  // a layer that was replaced: what it holds is not called any more
        for (const auto& one : items_of(model, adaptation.kept())) {
            if (inside && one.path.starts_with(*inside)) {
                if (one.layer != nullptr) not_called.insert(one.layer);
                continue;
            }
            if (one.kept != nullptr) {
                manifest.layers.push_back(row_of_kept(*one.kept, options, chooser));
                continue;
            }
            const auto [outcome, is_new] = outcomes.try_emplace(one.layer);
            if (is_new) {
                runtime::LayerEntry row;
                outcome->second = bind(one, options, chooser, row);
                if (outcome->second != nullptr) replaced(row, *outcome->second->kernel(), manifest);
                manifest.layers.push_back(std::move(row));
            }
            if (outcome->second != nullptr) inside = one.path.empty() ? "" : one.path + ".";
        }
        for (auto* layer : not_called)
            outcomes.try_emplace(layer);
        for (auto& [layer, bound] : outcomes)
            layer->set_kernel(std::move(bound));
        manifest.target = chooser.target();
        return manifest;
    } catch (...) {
        adaptation.undo();
        throw;
    }
}

bool unkernelize(torch::nn::Module& model) {
    bool any = false;
    for (const auto& one : find_layers(model)) {
        any = any || one.layer->kernelized();
        one.layer->set_kernel(nullptr);
    }
    Adaptation().restore(model);
    return any;
}

}  // namespace kernels::native
