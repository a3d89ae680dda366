#include "kernel_choice.hpp"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/version.h>

#include <algorithm>
#include <set>

#include "kernels/core/places.hpp"

namespace kernels::torchscript {
namespace {

// The names that mappings and build variants have for the same device.
std::string backend_of(const std::string& device) {
    if (device == "mps") return "metal";
    return device == "npu" ? "cann" : device;
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
        } else if (node->kind() == c10::prim::CallFunction) {
            const auto type = node->input(0)->type()->cast<c10::FunctionType>();
            if (type) count_function(*type->function(), calls, depth);
        } else if (!node->kind().is_aten() && !node->kind().is_prim()) {
            ++calls[node->kind().toQualString()];
        }
    }
}

// Whether some overload of the operator computes gradients: it has a kernel for autograd, or is made of
// operators that have.
bool has_autograd(const std::string& name) {
    auto& dispatcher = c10::Dispatcher::singleton();
    for (const auto& known : dispatcher.getAllOpNames()) {
        if (known.name != name) continue;
        const auto op = dispatcher.findOp(known);
        if (!op) continue;
        for (const auto key :
             {c10::DispatchKey::Autograd, c10::DispatchKey::AutogradCPU, c10::DispatchKey::AutogradCUDA,
              c10::DispatchKey::AutogradXPU, c10::DispatchKey::AutogradMPS,
              c10::DispatchKey::AutogradPrivateUse1, c10::DispatchKey::CompositeImplicitAutograd}) {
            if (op->hasKernelForDispatchKey(key)) return true;
        }
    }
    return false;
}

}  // namespace

layer::Device device_of(const std::vector<at::Tensor>& parameters, const KernelizeOptions& options) {
    if (options.device) return *options.device;
    std::set<std::string> names;
    for (const auto& parameter : parameters) {
        if (parameter.defined()) names.insert(c10::DeviceTypeName(parameter.device().type(), true));
    }
    if (names.size() != 1) {
        std::string list;
        for (const auto& name : names)
            list += (list.empty() ? "" : " and ") + name;
        throw Error(ErrorCode::usage,
                    names.empty() ? "the model has no parameters that would tell its device"
                                  : "the model's parameters are on several devices: " + list,
                    "name the device with --device");
    }
    // torch for ROCm calls its devices cuda.
    if (*names.begin() == "cuda" && at::globalContext().hasROCM()) return "rocm";
    return *names.begin();
}

build::Target target_of(const layer::Device& device, const KernelizeOptions& options) {
    if (options.target) return *options.target;
    build::Target target = build::detect(options.detect).target;
    // The torch of this process decides, for the CPU in any of its builds.
    target.torch = Version::parse(TORCH_VERSION);
    if (target.os == "linux") target.cxx11_abi = true;
    if (device.type() == "cpu") {
        target.backend = build::Backend{};
        return target;
    }
    if (backend_of(device.type()) != target.backend.name()) {
        throw Error(ErrorCode::usage,
                    "--device " + device.type() + ": the torch here computes on " +
                        std::string(target.backend.name()),
                    "use a kernels-torch that is built with a libtorch for " + device.type());
    }
    return target;
}

KernelChooser::KernelChooser(const KernelizeOptions& options, layer::Device device)
    : m_options(options),
      m_device(std::move(device)),
      m_mapping(options.mapping ? *options.mapping : layer::current_kernel_mapping()),
      m_target(target_of(m_device, options)),
      m_cache(options.hub != nullptr ? options.hub->cache().root()
              : options.cache        ? *options.cache
                                     : hub_cache_folder()),
      m_resolver(options.hub != nullptr ? layer::Resolver(m_target, *options.hub, options.device_check)
                                        : layer::Resolver(m_target, m_cache, options.device_check)),
      m_disabled(layer::kernel_mapping_disabled()) {
    options.mode.require_use();
}

const KernelChoice& KernelChooser::choose(const std::string& layer_name) {
    auto known = m_choices.find(layer_name);
    if (known == m_choices.end()) known = m_choices.emplace(layer_name, make_choice(layer_name)).first;
    return known->second;
}

KernelChoice KernelChooser::make_choice(const std::string& layer_name) {
    const auto refuse = [](layer::NoKernel reason, const std::string& why) {
        return KernelChoice{nullptr, "", {reason, why, std::nullopt}};
    };
    if (m_disabled) return refuse(layer::NoKernel::disabled, "DISABLE_KERNEL_MAPPING is set");
    const auto selection =
        layer::select(m_mapping, layer_name, m_device, layer::capability_of(m_target), m_options.mode);
    if (!selection) return refuse(selection.reason, selection.why);
    KernelChoice choice;
    choice.mode = selection.chosen->mode.to_string();
    try {
        choice.kernel = load(layer_name, selection.chosen->repository);
    } catch (const Error& error) {
        const bool lacks =
            m_options.hub == nullptr && error.hint().find("kernels download") != std::string::npos;
        choice.refusal = {
            layer::NoKernel::cannot_load, error.what(),
            Error(error.code(), error.what(), error.hint() + (lacks ? ", or kernelize with --download" : ""),
                  error.details())};
    }
    return choice;
}

std::shared_ptr<const LoadedKernel> KernelChooser::load(const std::string& layer_name,
                                                        const layer::Repository& repository) {
    if (const auto known = m_loaded.find(repository); known != m_loaded.end()) return known->second;
    const auto resolved = m_resolver.resolve(repository);
    auto loaded = std::make_shared<const LoadedKernel>(
        load_kernel({layer_name, layer::member_name(repository), layer::is_function(repository),
                     resolved.repo, resolved.commit, resolved.variant, resolved.folder, resolved.id}));
    m_loaded.emplace(repository, loaded);
    return loaded;
}

runtime::LayerEntry row_for(const std::string& path, const std::string& layer, const KernelChoice& choice) {
    runtime::LayerEntry row{path, layer, "", "", "", "", "kept", "", choice.mode};
    if (choice.kernel != nullptr) {
        const KernelLayer& plan = choice.kernel->plan;
        row.repo = plan.repo.empty() ? plan.variant_folder.string() : plan.repo;
        row.hub_layer = plan.hub_layer;
        row.commit = plan.commit;
        row.variant = plan.variant;
    }
    return row;
}

void keep(runtime::LayerEntry& row, const Refusal& refusal, layer::KernelizeFallback fallback) {
    row.status = "kept";
    row.reason = refusal.why;
    if (fallback.covers(refusal.reason)) return;
    const std::string what =
        (row.module.empty() ? std::string("the model") : row.module) + " (" + row.layer + ")";
    if (refusal.error) {
        const std::string hint = refusal.error->hint() + (refusal.error->hint().empty() ? "" : "; ") +
                                 "with --use-fallback=all the layer would keep its original forward";
        throw Error(refusal.error->code(), what + ": " + refusal.why, hint, refusal.error->details());
    }
    throw Error(ErrorCode::kernelize, what + ": no kernel: " + refusal.why,
                "with --use-fallback=default it would keep its original forward");
}

void replaced(runtime::LayerEntry& row, const LoadedKernel& kernel, runtime::Manifest& manifest) {
    row.status = "replaced";
    row.reason.clear();
    if (!kernel.entry) return;
    const bool known = std::any_of(manifest.kernels.begin(), manifest.kernels.end(), [&](const auto& entry) {
        return entry.op_namespace == kernel.entry->op_namespace;
    });
    if (!known) manifest.kernels.push_back(*kernel.entry);
}

std::map<std::string, int> operators_called(const torch::jit::Function& function) {
    std::map<std::string, int> calls;
    count_function(function, calls, 0);
    return calls;
}

std::string without_gradients(const std::map<std::string, int>& calls,
                              const std::map<std::string, int>& before) {
    for (const auto& [name, count] : calls) {
        if (!before.contains(name) && !has_autograd(name)) {
            return "the kernel's operator " + name.substr(name.find("::") + 2) +
                   " has no gradient that TorchScript could use";
        }
    }
    return {};
}

}  // namespace kernels::torchscript
