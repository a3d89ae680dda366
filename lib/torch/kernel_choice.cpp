#include "kernel_choice.hpp"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/version.h>

#include <algorithm>
#include <utility>

#include "kernels/core/places.hpp"
#include "kernels/runtime/runtime.hpp"

namespace kernels::torchscript {
namespace {

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

KernelChooser::KernelChooser(const KernelizeOptions& options, layer::Device device)
    : m_options(options),
      m_device(std::move(device)),
      m_mapping(options.mapping ? *options.mapping : layer::current_kernel_mapping()),
      m_cache(options.hub != nullptr ? options.hub->cache().root()
              : options.cache        ? *options.cache
                                     : hub_cache_folder()),
      m_disabled(layer::kernel_mapping_disabled()) {
    options.mode.require_use();
    if (options.target) machine();
}

const Machine& KernelChooser::machine() {
    if (!m_machine) m_machine = machine_for(m_device, m_options);
    return *m_machine;
}

layer::Resolver& KernelChooser::resolver() {
    if (!m_resolver) {
        const auto& target = machine().target;
        if (m_options.hub != nullptr) {
            m_resolver.emplace(target, *m_options.hub, m_options.device_check, m_options.fetch);
        } else {
            m_resolver.emplace(target, m_cache, m_options.device_check);
        }
    }
    return *m_resolver;
}

std::string KernelChooser::target() const {
    return m_machine && m_machine->is_named ? m_machine->target.to_string() : std::string();
}

const KernelChoice& KernelChooser::choose(const std::string& layer_name) {
    auto known = m_choices.find(layer_name);
    if (known == m_choices.end()) known = m_choices.emplace(layer_name, make_choice(layer_name)).first;
    return known->second;
}

KernelChoice KernelChooser::make_choice(const std::string& layer_name) {
    const auto refuse = [](layer::NoKernel reason, const std::string& why) {
        return KernelChoice{nullptr, std::nullopt, "", "", {reason, why, std::nullopt}};
    };
    if (m_disabled) return refuse(layer::NoKernel::disabled, "DISABLE_KERNEL_MAPPING is set");
    const auto* devices = m_mapping.find(layer_name);
    const bool on_capability =
        layer::has_capabilities(m_device.type()) && devices != nullptr && devices->contains(m_device.type());
    const auto selection =
        layer::select(m_mapping, layer_name, m_device,
                      on_capability ? layer::capability_of(machine().target) : std::nullopt, m_options.mode);
    if (!selection) return refuse(selection.reason, selection.why);
    const bool is_named = machine().is_named;
    KernelChoice choice;
    choice.mode = selection.chosen->mode;
    const auto& repository = selection.chosen->repository;
    choice.hub_layer = layer::member_name(repository);
    std::visit(
        [&](const auto& one) {
            if constexpr (requires { one.path(); }) {
                choice.repo = std::filesystem::weakly_canonical(one.path()).string();
            } else {
                choice.repo = one.repo().to_string();
            }
        },
        repository);
    try {
        choice.kernel = load(layer_name, repository);
    } catch (const Error& error) {
        const auto& remedies = error.remedies();
        const bool downloads = m_options.hub != nullptr && m_options.fetch == layer::Fetch::yes;
        const bool lacks =
            !downloads && std::find(remedies.begin(), remedies.end(), Remedy::download) != remedies.end();
        choice.refusal = {
            layer::NoKernel::cannot_load, error.what(),
            error.reworded(error.what(), error.hint() + (lacks ? ", or kernelize with a Hub" : ""))};
        if (error.code() == ErrorCode::not_found && is_named && !downloads) {
            choice.refusal.error.emplace(
                error.code(), error.what(),
                "if it is not downloaded: `kernels download --target " + machine().target.to_string() + "`");
        }
    }
    return choice;
}

std::shared_ptr<const LoadedKernel> KernelChooser::load(const std::string& layer_name,
                                                        const layer::Repository& repository) {
    if (const auto known = m_loaded.find(repository); known != m_loaded.end()) return known->second;
    const auto resolved = resolver().resolve(repository);
    const bool runs_here = runtime::cannot_run(m_device.type(), resolved.variant).empty();
    auto loaded = std::make_shared<const LoadedKernel>(load_kernel(
        {layer_name, layer::member_name(repository), layer::is_function(repository), resolved.repo,
         resolved.commit, resolved.variant, resolved.folder, resolved.id, runs_here}));
    m_loaded.emplace(repository, loaded);
    return loaded;
}

runtime::LayerEntry row_for(const std::string& path, const std::string& layer, const KernelChoice& choice) {
    runtime::LayerEntry row{path,
                            layer,
                            choice.repo,
                            choice.hub_layer,
                            "",
                            "",
                            "kept",
                            "",
                            choice.mode ? choice.mode->to_string() : ""};
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
                                 "with the fallback `all` the layer would keep its original forward";
        throw refusal.error->reworded(what + ": " + refusal.why, hint).with_remedies({Remedy::fallback_all});
    }
    throw Error(ErrorCode::kernelize, what + ": no kernel: " + refusal.why,
                "with the fallback `default` it would keep its original forward")
        .with_remedies({Remedy::fallback_default});
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
