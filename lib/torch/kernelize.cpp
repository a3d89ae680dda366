#include "kernels/torch/kernelize.hpp"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/version.h>

#include <algorithm>
#include <regex>
#include <set>

#include "called_operators.hpp"
#include "class_uses.hpp"
#include "found_layers.hpp"
#include "graph_pattern.hpp"
#include "kernel_choice.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/text.hpp"
#include "original_forwards.hpp"
#include "original_source.hpp"
#include "reference_layers.hpp"
#include "rewrite.hpp"
#include "split_classes.hpp"

namespace kernels::torchscript {
namespace {

using torch::jit::Module;

Given given_by(const project::Binding* binding) {
    return binding != nullptr ? Given{binding->attributes, binding->arguments, binding->results,
                                      binding->pattern.has_value()}
                              : Given{};
}

// Which modules get the same forward: those of the same layer with the same attributes. The paths of modules
// that are bound in several ways are put into `ambiguous`.
ModuleGroups groups_of(const std::vector<FoundLayer>& found, KernelChooser& chooser,
                       std::set<std::string>& ambiguous) {
    ModuleGroups groups;
    std::set<const c10::ivalue::Object*> several;
    for (const auto& one : found) {
        if (!one.wanted || chooser.choose(one.layer).kernel == nullptr) continue;
        std::string group = one.layer;
        const Given given = given_by(one.binding);
        for (const auto& name : given.arguments)
            group += ", " + name;
        for (const auto number : given.results)
            group += ", " + std::to_string(number);
        for (const auto& attribute : given.attributes)
            group +=
                std::visit([&](const auto& known) { return c10::str(", ", attribute.first, " = ", known); },
                           attribute.second);
        const auto* module = one.module._ivalue().get();
        if (groups.emplace(module, group).first->second != group) several.insert(module);
    }
    for (const auto* module : several)
        groups.erase(module);
    for (const auto& one : found)
        if (several.contains(one.module._ivalue().get())) ambiguous.insert(one.path);
    return groups;
}

// The classes that have instances in several groups.
std::set<const c10::ClassType*> mixed_classes(const Module& model, const ModuleGroups& groups) {
    std::map<const c10::ClassType*, std::string> group_of;
    std::set<const c10::ClassType*> mixed;
    for (const auto& module : model.modules()) {
        const auto found = groups.find(module._ivalue().get());
        const std::string group = found == groups.end() ? std::string() : found->second;
        if (group_of.try_emplace(module.type().get(), group).first->second != group)
            mixed.insert(module.type().get());
    }
    return mixed;
}

// Modules that cannot be rewritten by their class, after classes were split as far as possible.
struct Obstacles {
    std::set<std::string> ambiguous;  // paths
    std::set<const c10::ClassType*> mixed;
    std::string why_mixed;
};

Obstacles split_by_binding(Module& model, const std::vector<FoundLayer>& found, KernelChooser& chooser) {
    Obstacles obstacles;
    const auto groups = groups_of(found, chooser, obstacles.ambiguous);
    try {
        split_classes(model, groups);
    } catch (const Error& error) {
        obstacles.mixed = mixed_classes(model, groups);
        obstacles.why_mixed = error.what();
    }
    return obstacles;
}

std::vector<at::Tensor> parameters_of(const Module& model) {
    std::vector<at::Tensor> parameters;
    for (const auto& parameter : model.parameters())
        parameters.push_back(parameter);
    return parameters;
}

// Why a layer was not compiled; where an operator that it calls could not be defined, that is why.
std::string reason_of(const Error& error, const LoadedKernel& kernel) {
    std::string reason = error.what();
    for (const auto& [op, why] : kernel.missing) {
        if (reason.find("no op " + backquoted(op)) == std::string::npos) continue;
        return reason + " (the operator's schema must be read from the library of the other device: " + why +
               ")";
    }
    return reason;
}

constexpr const char* follows_training =
    "the kernel follows train() and eval(), which the trace of the original may not";

constexpr const char* not_called =
    "no method of the model calls it, so its kernel runs only where it is called itself; what is inlined is "
    "found by a binding with a pattern";

// What became of a class.
struct ClassOutcome {
    std::string reason;  ///< why it is kept; empty when it is rewritten
    ReplacedForward replaced = {};
    bool is_called = true;  ///< by a method of the model, or it is the model
};

// Replaces the forward of the layer's class.
ClassOutcome replace(const FoundLayer& layer, const LoadedKernel& kernel, layer::Mode mode, ClassUses& uses) {
    try {
        const auto before = operators_called(layer.module.get_method("forward").function());
        for (const auto* method : forwards(layer.module.type()))
            keep_original(layer.module, method->name());
        const auto found =
            replace_forward(layer.module, kernel.layer, kernel.plan, given_by(layer.binding), uses);
        if (!mode.is_training()) return {{}, found};
        auto reason =
            without_gradients(operators_called(layer.module.get_method("forward").function()), before);
        if (!reason.empty()) restore_original_forward(layer.module);
        return {reason, found};
    } catch (const Error& error) {
        restore_original_forward(layer.module);
        return {reason_of(error, kernel)};
    }
}

// Rewrites the classes of the found layers, and tells of each layer.
class Rewriter {
  public:
    Rewriter(const Module& model, const std::vector<FoundLayer>& found, const KernelizeOptions& options,
             KernelChooser& chooser, const Obstacles& obstacles)
        : m_uses(model), m_found(found), m_options(options), m_chooser(chooser), m_obstacles(obstacles) {}

    KernelizeReport run() {
        KernelizeReport manifest{
            {TORCH_VERSION, m_chooser.device().type(), m_options.mode.to_string(), {}, {}, {}}, {}};
        // A module that was replaced by a kernel that calls no module: what it holds is not called any more.
        std::optional<std::string> inside;
        for (const auto& one : m_found) {
            if (inside && one.path.starts_with(*inside)) continue;
            const KernelChoice& choice = m_chooser.choose(one.layer);
            auto row = row_for(one.path, one.layer, choice);
            if (!one.wanted) {
                row.reason = "the condition of its binding does not hold";
            } else if (choice.kernel == nullptr) {
                keep(row, choice.refusal, m_options.use_fallback);
            } else if (const auto outcome = outcome_of(one, choice); !outcome.reason.empty()) {
                keep(row, {layer::NoKernel::no_mode, outcome.reason, std::nullopt}, m_options.use_fallback);
            } else {
                replaced(row, *choice.kernel, manifest);
                if (outcome.replaced.follows_training) row.reason = follows_training;
                if (!outcome.is_called) row.reason = not_called;
                if (!outcome.replaced.calls_modules) inside = one.path.empty() ? "" : one.path + ".";
            }
            manifest.layers.push_back(std::move(row));
        }
        return manifest;
    }

  private:
    // Each class is looked at once.
    ClassOutcome outcome_of(const FoundLayer& one, const KernelChoice& choice) {
        const auto type = one.module.type();
        if (m_obstacles.ambiguous.contains(one.path))
            return {"the same module is bound in different ways in different places"};
        auto [known, is_new] = m_outcomes.try_emplace(type.get());
        if (!is_new) return known->second;
        ClassOutcome& outcome = known->second;
        std::string& reason = outcome.reason;
        reason = unfit_for(*choice.kernel, m_options.mode, *choice.mode);
        if (reason.empty() && m_obstacles.mixed.contains(type.get())) reason = m_obstacles.why_mixed;
        // Before it is replaced: kernels do not call what the layer did.
        const bool is_called = one.path.empty() || m_uses.is_called(type);
        if (reason.empty()) outcome = replace(one, *choice.kernel, m_options.mode, m_uses);
        outcome.is_called = is_called;
        return outcome;
    }

    ClassUses m_uses;
    const std::vector<FoundLayer>& m_found;
    const KernelizeOptions& m_options;
    KernelChooser& m_chooser;
    const Obstacles& m_obstacles;
    std::map<const c10::ClassType*, ClassOutcome> m_outcomes;
};

// Replaces what has the form of the binding's reference layers.
void replace_by_pattern(PatternSearch& search, const project::Binding& binding,
                        const KernelizeOptions& options, KernelChooser& chooser, KernelizeReport& manifest) {
    const KernelChoice& choice = chooser.choose(binding.layer);
    auto row = row_for("", binding.layer, choice);
    if (choice.kernel == nullptr) {
        keep(row, choice.refusal, options.use_fallback);
        manifest.layers.push_back(std::move(row));
        return;
    }
    const LoadedKernel& kernel = *choice.kernel;
    std::string reason = unfit_for(kernel, options.mode, *choice.mode);
    if (reason.empty() && options.mode.is_training()) reason = "what is matched by pattern has no gradients";
    bool found = false;
    if (reason.empty()) {
        reason = "nothing in the model has the form of a layer of " + binding.pattern->string();
        for (const auto& reference : reference_layers(binding)) {
            try {
                for (auto& match : search.replace(reference, kernel.layer, kernel.plan, given_by(&binding))) {
                    auto matched = row_for(match->row, binding.layer, choice);
                    replaced(matched, kernel, manifest);
                    matched.reason = by_pattern;
                    manifest.layers.push_back(std::move(matched));
                    manifest.matches.push_back(std::move(match));
                    found = true;
                }
            } catch (const Error& error) {
                reason = error.what();
            }
        }
    }
    if (found) return;
    keep(row, {layer::NoKernel::no_mode, reason, std::nullopt}, options.use_fallback);
    manifest.layers.push_back(std::move(row));
}

}  // namespace

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
        if (is_original(method.function())) continue;
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

KernelizeReport kernelize(Module& model, const KernelizeOptions& options) {
    require_no_conditions_on_patterns(options.bindings);
    const AskedOnce asked;
    KernelChooser chooser(options, device_of(parameters_of(model), options));
    warn_of_idle_bindings(model, options.bindings);
    auto found = find_layers(model, options.bindings, chooser.mapping());
    // Everything is loaded before anything is changed.
    for (const auto& one : found)
        chooser.choose(one.layer);
    const bool restored = restore_original_forwards(model);
    const auto obstacles = split_by_binding(model, found, chooser);
    find_again(found, model);
    try {
        auto manifest = Rewriter(model, found, options, chooser, obstacles).run();
        PatternSearch search(model);
        for (const auto& binding : options.bindings)
            if (binding.pattern) replace_by_pattern(search, binding, options, chooser, manifest);
        const bool rewritten = std::any_of(manifest.layers.begin(), manifest.layers.end(),
                                           [](const auto& row) { return row.status == "replaced"; });
        if (restored || rewritten) renew_methods(model);
        manifest.target = chooser.target();
        note_operators(model, manifest);
        return manifest;
    } catch (...) {
        restore_original_forwards(model);
        renew_methods(model);
        throw;
    }
}

}  // namespace kernels::torchscript
