#include "kernels/torch/native.hpp"

#include <torch/version.h>

#include <algorithm>
#include <set>

#include "bound_forward.hpp"
#include "kernel_choice.hpp"
#include "kernels/core/error.hpp"

namespace kernels::native {
namespace {

using namespace torchscript;

struct Found {
    std::string path;
    ExtensibleLayer* layer;
};

std::vector<Found> find_layers(torch::nn::Module& model) {
    std::vector<Found> found;
    std::set<const ExtensibleLayer*> seen;  // a module may be a child of several
    const auto look_at = [&](const std::string& path, torch::nn::Module& module) {
        auto* layer = dynamic_cast<ExtensibleLayer*>(&module);
        if (layer != nullptr && seen.insert(layer).second) found.push_back({path, layer});
    };
    look_at("", model);
    for (const auto& item : model.named_modules("", false))
        look_at(item.key(), *item.value());
    return found;
}

// Puts the elements of Sequential containers that a binding speaks of into extensible layers. What it did can
// be undone.
class Adaptation {
  public:
    Adaptation(torch::nn::Module& model, const std::vector<TypeBinding>& types) {
        adapt(model, "", types);
        for (const auto& item : model.named_modules("", false))
            adapt(*item.value(), item.key(), types);
    }

    void undo() {
        for (auto step = m_steps.rbegin(); step != m_steps.rend(); ++step) {
            *step->element = step->original;
            step->owner->replace_module(step->name, step->original.ptr());
        }
    }

    /// Layers of a bound type that stay as they are, with the reason.
    const std::vector<runtime::LayerEntry>& kept() const noexcept { return m_kept; }

  private:
    struct Step {
        torch::nn::SequentialImpl* owner;
        std::string name;
        torch::nn::AnyModule* element;
        torch::nn::AnyModule original;
    };

    void adapt(torch::nn::Module& owner, const std::string& path, const std::vector<TypeBinding>& types) {
        auto* sequence = dynamic_cast<torch::nn::SequentialImpl*>(&owner);
        auto element = sequence != nullptr ? sequence->begin() : torch::nn::SequentialImpl::Iterator{};
        for (const auto& child : owner.named_children()) {
            const auto& module = *child.value();
            const auto binding = std::find_if(types.begin(), types.end(),
                                              [&](const TypeBinding& type) { return type.is_type(module); });
            if (binding != types.end()) {
                const std::string name = path.empty() ? child.key() : path + "." + child.key();
                const bool wanted = !binding->condition || binding->condition(module);
                if (!wanted || sequence == nullptr) {
                    m_kept.push_back({name, binding->layer_name, "", "", "", "", "kept",
                                      wanted ? "its owner calls it by its own type, which C++ cannot redirect"
                                             : "the condition of its binding does not hold",
                                      ""});
                } else {
                    m_steps.push_back({sequence, child.key(), &*element, *element});
                    *element = binding->adapt(module);
                    sequence->replace_module(child.key(), element->ptr());
                }
            }
            if (sequence != nullptr) ++element;
        }
    }

    std::vector<Step> m_steps;
    std::vector<runtime::LayerEntry> m_kept;
};

// The layer's kernel, bound to it; nothing, with the reason in the row, when there is none.
std::shared_ptr<BoundForward> bind(const Found& one, const KernelizeOptions& options, KernelChooser& chooser,
                                   runtime::LayerEntry& row) {
    const KernelChoice& choice = chooser.choose(one.layer->kernel_layer_name());
    row = row_for(one.path, one.layer->kernel_layer_name(), choice);
    if (choice.kernel == nullptr) {
        keep(row, choice.refusal, options.use_fallback);
        return nullptr;
    }
    std::string reason = broken_rule(*choice.kernel);
    if (reason.empty()) reason = unfit_for(*choice.kernel, options.mode);
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

}  // namespace

runtime::Manifest kernelize(torch::nn::Module& model, const KernelizeOptions& options,
                            const std::vector<TypeBinding>& types) {
    KernelChooser chooser(options, device_of(model.parameters(), options));
    Adaptation adaptation(model, types);
    try {
        runtime::Manifest manifest{TORCH_VERSION,   chooser.device().type(), options.mode.to_string(), {}, {},
                                   chooser.target()};
        std::vector<std::pair<ExtensibleLayer*, std::shared_ptr<BoundForward>>> outcomes;
        std::optional<std::string> inside;  // a layer that was replaced: what it holds is not called any more
        for (const auto& one : find_layers(model)) {
            if (inside && one.path.starts_with(*inside)) {
                outcomes.emplace_back(one.layer, nullptr);
                continue;
            }
            runtime::LayerEntry row;
            auto bound = bind(one, options, chooser, row);
            if (bound != nullptr) {
                replaced(row, *bound->kernel(), manifest);
                inside = one.path.empty() ? "" : one.path + ".";
            }
            outcomes.emplace_back(one.layer, std::move(bound));
            manifest.layers.push_back(std::move(row));
        }
        manifest.layers.insert(manifest.layers.end(), adaptation.kept().begin(), adaptation.kept().end());
        for (auto& [layer, bound] : outcomes)
            layer->set_kernel(std::move(bound));
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
    return any;
}

}  // namespace kernels::native
