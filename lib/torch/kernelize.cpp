#include "kernels/torch/kernelize.hpp"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/version.h>

#include <algorithm>
#include <regex>
#include <set>

#include "kernels/core/digest.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "kernels/runtime/runtime.hpp"
#include "rewrite.hpp"

namespace kernels::torchscript {
namespace {

using torch::jit::Module;
namespace fs = std::filesystem;

// A kernel of the plan, with what is read from its folder once.
struct LoadedKernel {
    const KernelLayer* kernel = nullptr;
    HubModule source;
    LayerSource layer;
    runtime::KernelEntry entry;
};

std::optional<fs::path> library_of(const fs::path& folder) {
    std::vector<fs::path> libraries;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (entry.path().extension() == ".so") libraries.push_back(entry.path());
    }
    std::sort(libraries.begin(), libraries.end());
    return libraries.empty() ? std::nullopt : std::optional(libraries.front());
}

LoadedKernel load_kernel(const KernelLayer& kernel) {
    const std::string name = kernel.repo.empty() ? kernel.variant_folder.string() : kernel.repo;
    const auto library = library_of(kernel.variant_folder);
    if (!library) {
        throw Error(ErrorCode::kernelize, name + ": its build " + kernel.variant + " has no compiled library",
                    "Triton and other Python-only kernels cannot be called from TorchScript");
    }
    const std::string file = library->filename().string();
    LoadedKernel loaded{&kernel, HubModule::load(kernel.variant_folder, false), {}, {}};
    loaded.layer = loaded.source.layer(kernel.hub_layer);
    loaded.entry = {kernel.repo,
                    kernel.commit,
                    kernel.variant,
                    kernel.op_namespace,
                    kernel.repo.empty() ? library->string() : "build/" + kernel.variant + "/" + file,
                    hash_file(HashAlgorithm::sha256, *library)};
    try {
        runtime::load_library(library->string(), kernel.op_namespace);
    } catch (const std::exception& failure) {
        throw Error(ErrorCode::kernelize, name + ": " + failure.what());
    }
    return loaded;
}

// The rules for a hub layer and the mode; nothing when all are kept.
std::string broken_rule(const LoadedKernel& loaded, const std::string& mode) {
    const std::string name = "the kernel's layer " + loaded.kernel->hub_layer;
    if (!loaded.layer.violations.empty()) return name + " " + loaded.layer.violations.front();
    if (mode.find("training") != std::string::npos && !loaded.layer.has_backward)
        return name + " has no backward";
    if (mode.find("torch-compile") != std::string::npos && !loaded.layer.can_torch_compile) {
        return name + " cannot be used with torch.compile";
    }
    return {};
}

struct Found {
    std::string path;
    Module module;
    std::string layer;
    const project::Binding* binding = nullptr;
};

void find_layers(const Module& module, const std::string& path, const KernelizeOptions& options,
                 const std::set<std::string>& names, std::vector<Found>& found) {
    const std::string class_name = plain_class_name(module.type()->name()->qualifiedName());
    const project::Binding* match = nullptr;
    for (const auto& binding : options.bindings) {
        const bool class_fits = !binding.class_glob || glob_match(*binding.class_glob, class_name);
        const bool path_fits = !binding.module_glob || glob_match(*binding.module_glob, path);
        if (class_fits && path_fits && match == nullptr) match = &binding;
    }
    const std::string last = class_name.substr(class_name.rfind('.') + 1);
    const std::string layer = match != nullptr ? match->layer : last;
    if (match != nullptr || names.contains(layer)) {
        if (module.find_method("forward")) found.push_back({path, module, layer, match});
        return;  // what a kernel replaces has no layers of its own
    }
    for (const auto& child : module.named_children()) {
        find_layers(child.value, path.empty() ? child.name : path + "." + child.name, options, names, found);
    }
}

// A class whose instances are not all bound to the same layer cannot be rewritten: they share its forward.
std::set<const c10::ClassType*> mixed_classes(const Module& model, const std::vector<Found>& found) {
    std::map<const c10::ClassType*, std::set<std::string>> layers;
    std::map<const c10::ClassType*, std::size_t> bound;
    std::map<const c10::ClassType*, std::set<c10::ivalue::Object*>> instances;
    for (const auto& one : found) {
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

void count_calls(const torch::jit::Block* block, std::map<std::string, int>& calls, int depth);

void count_function(const torch::jit::Function& function, std::map<std::string, int>& calls, int depth) {
    constexpr int deepest = 200;
    if (depth > deepest || !function.isGraphFunction()) return;
    count_calls(torch::jit::toGraphFunction(function).graph()->block(), calls, depth + 1);
}

void count_calls(const torch::jit::Block* block, std::map<std::string, int>& calls, int depth) {
    for (const auto* node : block->nodes()) {
        for (const auto* inner : node->blocks())
            count_calls(inner, calls, depth);
        if (node->kind() == c10::prim::CallMethod) {
            const auto type = node->input(0)->type()->cast<c10::ClassType>();
            const auto* method = type ? type->findMethod(node->s(c10::attr::name)) : nullptr;
            if (method != nullptr) count_function(*method, calls, depth);
        } else if (!node->kind().is_aten() && !node->kind().is_prim()) {
            ++calls[node->kind().toQualString()];
        }
    }
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
    for (const auto& method : module.get_methods())
        count_function(method.function(), calls, 0);
    return calls;
}

runtime::Manifest kernelize(Module& model, const KernelizeOptions& options) {
    std::vector<LoadedKernel> kernels;
    std::set<std::string> names;
    for (const auto& kernel : options.kernels) {
        kernels.push_back(load_kernel(kernel));
        names.insert(kernel.layer_name);
    }
    for (const auto& [name, reason] : options.without_kernel)
        names.insert(name);

    std::vector<Found> found;
    find_layers(model, "", options, names, found);
    const auto mixed = mixed_classes(model, found);

    runtime::Manifest manifest{TORCH_VERSION, options.device, options.mode, {}, {}};
    std::map<const c10::ClassType*, std::string> outcome;  // by class: empty when replaced, else the reason
    for (const auto& one : found) {
        const auto kernel = std::find_if(kernels.begin(), kernels.end(), [&](const LoadedKernel& loaded) {
            return loaded.kernel->layer_name == one.layer;
        });
        runtime::LayerEntry row{one.path, one.layer, "", "", "", "", "kept", ""};
        if (kernel == kernels.end()) {
            const auto known = options.without_kernel.find(one.layer);
            row.reason =
                known != options.without_kernel.end() ? known->second : "no kernel is mapped to " + one.layer;
            manifest.layers.push_back(std::move(row));
            continue;
        }
        const KernelLayer& plan = *kernel->kernel;
        row.repo = plan.repo.empty() ? plan.variant_folder.string() : plan.repo;
        row.hub_layer = plan.hub_layer;
        row.commit = plan.commit;
        row.variant = plan.variant;
        const auto type = one.module.type();
        auto [known, is_new] = outcome.try_emplace(type.get(), "");
        if (is_new) {
            known->second = broken_rule(*kernel, options.mode);
            if (mixed.contains(type.get())) {
                known->second = "other modules share its class " +
                                plain_class_name(type->name()->qualifiedName()) +
                                " and are not bound to the same layer";
            }
            if (known->second.empty()) {
                try {
                    replace_forward(model, one.module, kernel->source, kernel->layer, plan,
                                    one.binding != nullptr
                                        ? one.binding->attributes
                                        : std::map<std::string, project::AttributeValue>{});
                } catch (const Error& error) {
                    known->second = error.what();
                }
            }
        }
        row.reason = known->second;
        row.status = row.reason.empty() ? "replaced" : "kept";
        if (row.reason.empty() &&
            std::none_of(manifest.kernels.begin(), manifest.kernels.end(),
                         [&](const auto& entry) { return entry.op_namespace == plan.op_namespace; })) {
            manifest.kernels.push_back(kernel->entry);
        }
        manifest.layers.push_back(std::move(row));
    }
    return manifest;
}

}  // namespace kernels::torchscript
