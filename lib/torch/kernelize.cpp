#include "kernels/torch/kernelize.hpp"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/version.h>

#include <algorithm>
#include <regex>
#include <set>

#include "kernel_choice.hpp"
#include "kernels/core/text.hpp"
#include "original_forwards.hpp"
#include "rewrite.hpp"

namespace kernels::torchscript {
namespace {

using torch::jit::Module;

// A module of the model that carries a layer name.
struct Found {
    std::string path;
    Module module;
    std::string layer;
    const LayerBinding* binding = nullptr;
    bool wanted = true;  ///< the binding's condition
};

std::string last_name(const std::string& class_name) {
    return class_name.substr(class_name.rfind('.') + 1);
}

bool is_equal(const c10::IValue& value, const project::AttributeValue& wanted) {
    if (const auto* flag = std::get_if<bool>(&wanted)) return value.isBool() && value.toBool() == *flag;
    if (const auto* text = std::get_if<std::string>(&wanted))
        return value.isString() && value.toStringRef() == *text;
    if (!value.isInt() && !value.isDouble()) return false;
    const double number = value.isInt() ? static_cast<double>(value.toInt()) : value.toDouble();
    const auto* integer = std::get_if<std::int64_t>(&wanted);
    return number == (integer != nullptr ? static_cast<double>(*integer) : std::get<double>(wanted));
}

bool holds(const std::map<std::string, project::AttributeValue>& when, const Module& module) {
    return std::all_of(when.begin(), when.end(), [&](const auto& one) {
        return module.hasattr(one.first) && is_equal(module.attr(one.first), one.second);
    });
}

std::vector<Found> find_layers(const Module& model, const KernelizeOptions& options,
                               const layer::KernelMapping& mapping) {
    const auto names = mapping.layer_names();
    std::vector<Found> found;
    for (const auto& item : model.named_modules()) {
        const Module& module = item.value;
        if (!module.find_method("forward")) continue;
        const std::string class_name = plain_class_name(module.type()->name()->qualifiedName());
        const auto match =
            std::find_if(options.bindings.begin(), options.bindings.end(), [&](const LayerBinding& binding) {
                return (!binding.class_glob || glob_match(*binding.class_glob, class_name)) &&
                       (!binding.module_glob || glob_match(*binding.module_glob, item.name));
            });
        if (match != options.bindings.end()) {
            const bool wanted = holds(match->when, module) && (!match->condition || match->condition(module));
            found.push_back({item.name, module, match->layer, &*match, wanted});
        } else if (std::find(names.begin(), names.end(), last_name(class_name)) != names.end()) {
            found.push_back({item.name, module, last_name(class_name), nullptr, true});
        }
    }
    return found;
}

// Classes whose instances are not all bound to the same layer cannot be rewritten: they share its forward.
std::set<const c10::ClassType*> mixed_classes(const Module& model, const std::vector<Found>& found) {
    std::map<const c10::ClassType*, std::set<std::string>> layers;
    std::map<const c10::ClassType*, std::size_t> bound;
    for (const auto& one : found) {
        if (!one.wanted) continue;
        layers[one.module.type().get()].insert(one.layer);
        ++bound[one.module.type().get()];
    }
    std::map<const c10::ClassType*, std::size_t> all;
    for (const auto& one : model.named_modules())
        ++all[one.value.type().get()];
    std::set<const c10::ClassType*> mixed;
    for (const auto& [type, names] : layers) {
        if (names.size() > 1 || all[type] > bound[type]) mixed.insert(type);
    }
    return mixed;
}

std::vector<at::Tensor> parameters_of(const Module& model) {
    std::vector<at::Tensor> parameters;
    for (const auto& parameter : model.parameters())
        parameters.push_back(parameter);
    return parameters;
}

// Replaces the forward of the layer's class; the reason when that is not possible.
std::string replace(const Found& layer, const LoadedKernel& kernel, layer::Mode mode) {
    try {
        const auto before = operators_called(layer.module.get_method("forward").function());
        keep_original_forward(layer.module);
        replace_forward(layer.module, layer.module, kernel.layer, kernel.plan,
                        layer.binding != nullptr ? layer.binding->attributes
                                                 : std::map<std::string, project::AttributeValue>{});
        if (!mode.is_training()) return {};
        auto reason =
            without_gradients(operators_called(layer.module.get_method("forward").function()), before);
        if (!reason.empty()) restore_original_forward(layer.module);
        return reason;
    } catch (const Error& error) {
        restore_original_forward(layer.module);
        return error.what();
    }
}

// Rewrites the classes of the found layers, and tells of each layer.
class Rewriter {
  public:
    Rewriter(const Module& model, const std::vector<Found>& found, const KernelizeOptions& options,
             KernelChooser& chooser)
        : m_found(found), m_options(options), m_chooser(chooser), m_mixed(mixed_classes(model, found)) {}

    runtime::Manifest run() {
        runtime::Manifest manifest{
            TORCH_VERSION, m_chooser.device().type(), m_options.mode.to_string(), {}, {}};
        std::optional<std::string>
            inside;  // a module that was replaced: what it holds is not called any more
        for (const auto& one : m_found) {
            if (inside && one.path.starts_with(*inside)) continue;
            const KernelChoice& choice = m_chooser.choose(one.layer);
            auto row = row_for(one.path, one.layer, choice);
            if (!one.wanted) {
                row.reason = "the condition of its binding does not hold";
            } else if (choice.kernel == nullptr) {
                keep(row, choice.refusal, m_options.use_fallback);
            } else if (const auto reason = outcome_of(one, *choice.kernel); !reason.empty()) {
                keep(row, {layer::NoKernel::no_mode, reason, std::nullopt}, m_options.use_fallback);
            } else {
                replaced(row, *choice.kernel, manifest);
                inside = one.path.empty() ? "" : one.path + ".";
            }
            manifest.layers.push_back(std::move(row));
        }
        return manifest;
    }

  private:
    // Empty when the class is rewritten, else the reason; each class is looked at once.
    std::string outcome_of(const Found& one, const LoadedKernel& kernel) {
        const auto type = one.module.type();
        auto [known, is_new] = m_outcomes.try_emplace(type.get(), "");
        if (!is_new) return known->second;
        std::string& reason = known->second;
        reason = broken_rule(kernel);
        if (reason.empty()) reason = unfit_for(kernel, m_options.mode);
        if (reason.empty() && m_mixed.contains(type.get())) {
            reason = "other modules share its class " + plain_class_name(type->name()->qualifiedName()) +
                     " and are not bound to the same layer";
        }
        if (reason.empty()) reason = replace(one, kernel, m_options.mode);
        return reason;
    }

    const std::vector<Found>& m_found;
    const KernelizeOptions& m_options;
    KernelChooser& m_chooser;
    std::set<const c10::ClassType*> m_mixed;
    std::map<const c10::ClassType*, std::string> m_outcomes;
};

}  // namespace

LayerBinding use_kernel_forward_from_hub(const std::string& layer_name, const std::string& class_glob) {
    return {{layer_name, class_glob, std::nullopt, {}, {"use_kernel_forward_from_hub", 0, layer_name}}, {}};
}

LayerBinding use_kernel_func_from_hub(const std::string& func_name, const std::string& module_glob) {
    return {{func_name, std::nullopt, module_glob, {}, {"use_kernel_func_from_hub", 0, func_name}}, {}};
}

LayerBinding replace_kernel_forward_from_hub(const std::string& class_glob, const std::string& layer_name,
                                             std::function<bool(const Module&)> condition) {
    return {{layer_name, class_glob, std::nullopt, {}, {"replace_kernel_forward_from_hub", 0, layer_name}},
            std::move(condition)};
}

std::string plain_class_name(const std::string& qualified_name) {
    static const std::regex noise(R"(^__torch__\.|___torch_mangle_\d+\.?)");
    std::string name = std::regex_replace(qualified_name, noise, "");
    while (name.ends_with('.'))
        name.pop_back();
    return name;
}

std::map<std::string, int> count_kernel_calls(const Module& module) {
    std::map<std::string, int> calls;
    for (const auto& method : module.get_methods()) {
        if (method.name() == original_method) continue;
        for (const auto& [name, count] : operators_called(method.function()))
            calls[name] += count;
    }
    return calls;
}

bool unkernelize(Module& model) {
    const bool restored = restore_original_forwards(model);
    if (restored) renew_methods(model);
    return restored;
}

runtime::Manifest kernelize(Module& model, const KernelizeOptions& options) {
    KernelChooser chooser(options, device_of(parameters_of(model), options));
    const auto found = find_layers(model, options, chooser.mapping());
    // Everything is loaded before anything is changed.
    for (const auto& one : found)
        chooser.choose(one.layer);
    const bool restored = restore_original_forwards(model);
    try {
        auto manifest = Rewriter(model, found, options, chooser).run();
        const bool rewritten = std::any_of(manifest.layers.begin(), manifest.layers.end(),
                                           [](const auto& row) { return row.status == "replaced"; });
        if (restored || rewritten) renew_methods(model);
        return manifest;
    } catch (...) {
        restore_original_forwards(model);
        renew_methods(model);
        throw;
    }
}

}  // namespace kernels::torchscript
