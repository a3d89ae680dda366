// From a layer name to a loaded kernel, or to the reason why there is none: what kernelizing TorchScript
// modules and native ones has in common.
#pragma once

#include <torch/script.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/core/error.hpp"
#include "kernels/torch/kernelize.hpp"
#include "loaded_kernel.hpp"
#include "machine.hpp"

namespace kernels::torchscript {

/// Why a layer keeps its original forward.
struct Refusal {
    layer::NoKernel reason = layer::NoKernel::no_mode;
    std::string why;
    std::optional<Error> error;  ///< of loading
};

struct KernelChoice {
    std::shared_ptr<const LoadedKernel> kernel;  ///< nullptr: refused
    std::optional<layer::Mode> mode;             ///< for which the mapping has it
    std::string repo;                            ///< or the path; also of one that cannot be loaded
    std::string hub_layer;
    Refusal refusal;
};

/// Chooses, resolves, loads and checks kernels, each once.
class KernelChooser {
  public:
    /// Throws Error(usage) for a mode that no model is used in, and for a target of another device.
    KernelChooser(const KernelizeOptions& options, layer::Device device);

    const layer::Device& device() const noexcept { return m_device; }
    /// For the manifest; empty for this machine, and where nothing depends on the machine.
    std::string target() const;
    const layer::KernelMapping& mapping() const noexcept { return m_mapping; }
    /// Throws what machine_for throws, when something is mapped for the device.
    const KernelChoice& choose(const std::string& layer_name);

  private:
    KernelChoice make_choice(const std::string& layer_name);
    // Of a device that is not here the machine may be unknown: it is looked at when a build is chosen.
    const Machine& machine();
    layer::Resolver& resolver();
    std::shared_ptr<const LoadedKernel> load(const std::string& layer_name,
                                             const layer::Repository& repository);

    const KernelizeOptions& m_options;
    layer::Device m_device;
    layer::KernelMapping m_mapping;
    std::optional<Machine> m_machine;
    hub::Cache m_cache;
    std::optional<layer::Resolver> m_resolver;
    bool m_disabled;
    std::map<std::string, KernelChoice> m_choices;
    std::unordered_map<layer::Repository, std::shared_ptr<const LoadedKernel>> m_loaded;
};

/// A row of the report for a layer, as far as it is known from the choice.
runtime::LayerEntry row_for(const std::string& path, const std::string& layer, const KernelChoice& choice);

/// Puts the reason into the row. Throws, naming module and layer, when the fallback does not cover it.
void keep(runtime::LayerEntry& row, const Refusal& refusal, layer::KernelizeFallback fallback);

/// Marks the row as replaced, and names the kernel's library in the manifest.
void replaced(runtime::LayerEntry& row, const LoadedKernel& kernel, runtime::Manifest& manifest);

/// Why gradients do not flow through the operators of `calls` that are not in `before`. Empty when they do.
std::string without_gradients(const std::map<std::string, int>& calls,
                              const std::map<std::string, int>& before);

}  // namespace kernels::torchscript
