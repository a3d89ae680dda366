// Rewriting TorchScript models so that their layers call kernels from the Hub.
#pragma once

#include <torch/script.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/build/environment.hpp"
#include "kernels/hub/hub.hpp"
#include "kernels/layer/mapping.hpp"
#include "kernels/layer/resolve.hpp"
#include "kernels/layer/selection.hpp"
#include "kernels/project/project.hpp"
#include "kernels/runtime/manifest.hpp"

namespace kernels::torchscript {

/// Which modules of a TorchScript model carry a layer name: those whose class and path match the globs, where
/// they are given. The class is compared without `__torch__.` and mangling.
struct LayerBinding : project::Binding {
    /// Asked once for each such module; where it says no the module keeps its forward.
    std::function<bool(const torch::jit::Module&)> condition;
};

/// Where modules are in a model: ModulePath{"blocks.*.norm"}.
struct ModulePath {
    std::string glob;
};

/// Classes that match the glob carry the layer name: the class "demo.Norm", all of its name with "Norm", or
/// "transformers.*RMSNorm". (A class whose own last name is the layer name does so without a binding.)
LayerBinding use_kernel_forward_from_hub(const std::string& layer_name, const std::string& class_glob);
/// Modules at paths that match the glob carry the layer name, whatever their class.
LayerBinding use_kernel_forward_from_hub(const std::string& layer_name, const ModulePath& path);
/// Modules at paths that match the glob are function calls (what Python's use_kernel_func_from_hub makes of a
/// function) and carry the name.
LayerBinding use_kernel_func_from_hub(const std::string& func_name, const std::string& module_glob);
/// As use_kernel_forward_from_hub, for classes of others: with a condition.
LayerBinding replace_kernel_forward_from_hub(const std::string& class_glob, const std::string& layer_name,
                                             std::function<bool(const torch::jit::Module&)> condition = {});

/// A device to kernelize for, or none: {.device = "cuda"}, {.device = torch::Device("cuda:0")}. A kernel is
/// chosen for a type of device, so the index is of no matter.
class KernelizeDevice : public std::optional<layer::Device> {
  public:
    using std::optional<layer::Device>::optional;
    /// Throws Error(usage) for a type that no kernel can be mapped to, such as meta. Where this torch is for
    /// ROCm, which calls its devices cuda, it is rocm.
    KernelizeDevice(const torch::Device& device);                                      // NOLINT
    KernelizeDevice(torch::DeviceType type) : KernelizeDevice(torch::Device(type)) {}  // NOLINT
};

/// How a model is kernelized: `{.mode = Mode::inference}`; what it is for has to be said. The defaults of the
/// rest are those of a process that computes with what is in the cache.
struct KernelizeOptions {
    /// What the model is for: inference or training, and either with torch_compile.
    layer::Mode mode;
    /// Where it computes; taken from its parameters when not given. Properties are for entries of mappings,
    /// and refused here: the capability is that of the machine, or of `target`.
    KernelizeDevice device;
    /// In which cases a layer may keep its original forward; the others are errors that name it.
    layer::KernelizeFallback use_fallback = layer::KernelizeFallback::standard;
    /// For TorchScript models: which classes carry which layer name. The first that matches counts.
    std::vector<LayerBinding> bindings;
    /// The mapping; that which register_kernel_mapping and use_kernel_mapping made when not given.
    std::optional<layer::KernelMapping> mapping;
    /// Ask this Hub for commits and publishers, and download what the cache lacks. nullptr: only the cache
    /// (and LOCAL_KERNELS, and local repositories) is looked at, and publishers that no trust_remote_code
    /// allows are warned of.
    const hub::Hub* hub = nullptr;
    /// Fetch::no: ask `hub` for publishers alone.
    layer::Fetch fetch = layer::Fetch::yes;
    /// The cache without a Hub; that of the environment variables when not given.
    std::optional<std::filesystem::path> cache;
    /// The machine that builds are chosen for; this one, with the torch of this process, when not given. The
    /// library of a build that this process cannot run is not loaded: its operators are defined by the
    /// schemas in it, so that the model can be saved for the other machine, and not run here.
    std::optional<build::Target> target;
    /// How this machine is looked at.
    build::DetectOptions detect;
    layer::DeviceCheck device_check = layer::DeviceCheck::yes;
};

/// The reason in the report of a layer that was replaced because a part of a graph has its form.
inline constexpr const char* by_pattern = "matched by pattern";

struct PatternMatch;

/// What kernelize() did: the manifest to save with the model.
struct KernelizeReport : runtime::Manifest {
    /// What was matched by pattern, for verify().
    std::vector<std::shared_ptr<const PatternMatch>> matches;
};

/// Rewrites `module` in place, and with it all copies that share its code, as Module::copy() and deepcopy()
/// make them; with_own_code() of verify.hpp makes one that stays as it is. The forward of every layer with a
/// kernel becomes the kernel repository's own layer source, compiled by TorchScript. Scripted and traced
/// models are both taken. Always begins with the original forwards: kernelizing again, for another mode say,
/// does not build on the last time, and with DISABLE_KERNEL_MAPPING every layer gets its own forward back.
///
/// A module carries the layer name of the first binding that matches, else the last part of its class name
/// where the mapping has that. The kernels' libraries are loaded into this process. Modules of one class that
/// are bound differently get classes of their own. What the layers of a binding with a pattern compute is
/// looked for in all graphs, and replaced wherever it is found; who does that should compare with the
/// original: see verify().
///
/// Returns a report, which is also the manifest to save with the model: the layers in the order of the
/// module tree, those matched by a pattern last, with repository, commit, variant and mode, replaced or kept
/// with the reason. Layers within one that is replaced by a kernel that calls no child of it are not called
/// any more: they are left as they are, and out of the report. A replaced layer keeps its own default
/// arguments. Throws
/// Error(usage) when the device cannot be told, Error(kernelize) for a layer that must not keep its forward,
/// and what resolving and loading throw; the module then has its original forwards, or is as it was.
///
/// Methods that were taken from the module before (torch::jit::Method) are invalid afterwards.
KernelizeReport kernelize(torch::jit::Module& module, const KernelizeOptions& options);

/// Gives every layer its original forward back; false when the model is not kernelized. Methods that were
/// taken before are invalid afterwards.
bool unkernelize(torch::jit::Module& module);

/// A class name for people and globs: without `__torch__.` and `___torch_mangle_N` parts.
std::string plain_class_name(const std::string& qualified_name);

/// Calls of the operators of each namespace but aten and prim, in all methods of the model, inlined modules
/// counted where they are called: {"_activation_cpu_1a2b3c4::silu_and_mul": 4}.
std::map<std::string, int> count_kernel_calls(const torch::jit::Module& module);

}  // namespace kernels::torchscript
