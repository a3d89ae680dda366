#include "found_layers.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "kernels/core/error.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/text.hpp"

namespace kernels::torchscript {
namespace {

using torch::jit::Module;

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

// Asks each module once, in however many places it is held.
class Conditions {
  public:
    bool hold(const LayerBinding& binding, const Module& module) {
        const auto [known, is_new] = m_known.try_emplace({&binding, module._ivalue().get()});
        if (is_new)
            known->second = holds(binding.when, module) && (!binding.condition || binding.condition(module));
        return known->second;
    }

  private:
    std::map<std::pair<const LayerBinding*, const c10::ivalue::Object*>, bool> m_known;
};

LayerBinding binding_of(const char* function, const std::string& layer_name,
                        std::optional<std::string> class_glob, std::optional<std::string> module_glob) {
    LayerBinding binding;
    binding.layer = layer_name;
    binding.class_glob = std::move(class_glob);
    binding.module_glob = std::move(module_glob);
    binding.where = {function, 0, layer_name};
    return binding;
}

}  // namespace

std::string class_of(const Module& module) {
    return plain_class_name(module.type()->name()->qualifiedName());
}

void require_no_conditions_on_patterns(const std::vector<LayerBinding>& bindings) {
    for (const auto& binding : bindings) {
        if (!binding.pattern || (!binding.condition && binding.when.empty())) continue;
        throw Error(ErrorCode::usage,
                    "binding " + backquoted(binding.layer) +
                        ": a condition does not go with a pattern: what is found by its form is no module",
                    "remove one of the two");
    }
}

void warn_of_idle_bindings(const Module& model, const std::vector<LayerBinding>& bindings) {
    std::vector<bool> used(bindings.size(), false);
    for (const auto& item : model.named_modules()) {
        if (!item.value.find_method("forward")) continue;
        const std::string class_name = class_of(item.value);
        for (std::size_t i = 0; i < bindings.size(); ++i)
            used[i] = used[i] || bindings[i].names(class_name, item.name);
    }
    for (std::size_t i = 0; i < bindings.size(); ++i) {
        const auto& binding = bindings[i];
        if (used[i] || binding.pattern) continue;
        std::vector<std::string> globs;
        if (binding.class_glob) globs.push_back("class " + *binding.class_glob);
        if (binding.module_glob) globs.push_back("module " + *binding.module_glob);
        log::warning("binding " + backquoted(binding.layer) + " (" + join(globs, ", ") +
                     ") matches no module of the model");
    }
}

std::vector<FoundLayer> find_layers(const Module& model, const std::vector<LayerBinding>& bindings,
                                    const layer::KernelMapping& mapping) {
    const auto names = mapping.layer_names();
    Conditions conditions;
    std::vector<FoundLayer> found;
    for (const auto& item : model.named_modules()) {
        const Module& module = item.value;
        if (!module.find_method("forward")) continue;
        const std::string class_name = class_of(module);
        const auto match = std::find_if(bindings.begin(), bindings.end(), [&](const LayerBinding& binding) {
            return !binding.pattern && binding.names(class_name, item.name);
        });
        if (match != bindings.end()) {
            found.push_back({item.name, module, match->layer, &*match, conditions.hold(*match, module)});
        } else if (std::find(names.begin(), names.end(), last_name(class_name)) != names.end()) {
            found.push_back({item.name, module, last_name(class_name), nullptr, true});
        }
    }
    return found;
}

void find_again(std::vector<FoundLayer>& found, const Module& model) {
    auto next = found.begin();
    for (const auto& item : model.named_modules()) {
        if (next == found.end()) return;
        if (item.name == next->path) (next++)->module = item.value;
    }
}

LayerBinding use_kernel_forward_from_hub(const std::string& layer_name, const std::string& class_glob) {
    return binding_of("use_kernel_forward_from_hub", layer_name, class_glob, std::nullopt);
}

LayerBinding use_kernel_forward_from_hub(const std::string& layer_name, const ModulePath& path) {
    return binding_of("use_kernel_forward_from_hub", layer_name, std::nullopt, path.glob);
}

LayerBinding use_kernel_func_from_hub(const std::string& func_name, const std::string& module_glob) {
    return binding_of("use_kernel_func_from_hub", func_name, std::nullopt, module_glob);
}

LayerBinding replace_kernel_forward_from_hub(const std::string& class_glob, const std::string& layer_name,
                                             std::function<bool(const Module&)> condition) {
    auto binding = binding_of("replace_kernel_forward_from_hub", layer_name, class_glob, std::nullopt);
    binding.condition = std::move(condition);
    return binding;
}

}  // namespace kernels::torchscript
