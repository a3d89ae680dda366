#include "loaded_kernel.hpp"

#include <algorithm>
#include <vector>

#include "build/torch_library.hpp"
#include "device_ops.hpp"
#include "kernels/core/digest.hpp"
#include "kernels/core/error.hpp"
#include "kernels/runtime/runtime.hpp"

namespace kernels::torchscript {
namespace {

namespace fs = std::filesystem;

// Operators that are in this process already do as well.
void require_operators(const KernelLayer& kernel, bool has_library) {
    const auto why =
        build::why_not_callable(kernel.variant, has_library || runtime::has_operators(kernel.op_namespace));
    if (!why.empty()) throw Error(ErrorCode::kernelize, why);
}

}  // namespace

LoadedKernel load_kernel(KernelLayer kernel) {
    const std::string name = kernel.repo.empty() ? kernel.variant_folder.string() : kernel.repo;
    LoadedKernel loaded{std::move(kernel), {}, std::nullopt, {}};
    const KernelLayer& plan = loaded.plan;
    try {
        const auto library = build::torch_library(plan.variant_folder, plan.op_namespace);
        require_operators(plan, library.has_value());
        const auto source = HubModule::load(plan.variant_folder, plan.is_function);
        loaded.layer =
            plan.is_function ? source.function_layer(plan.hub_layer) : source.layer(plan.hub_layer);
        if (library) {
            const std::string file = library->filename().string();
            loaded.entry = {
                plan.repo,
                plan.commit,
                plan.variant,
                plan.op_namespace,
                plan.repo.empty() ? fs::canonical(*library).string() : "build/" + plan.variant + "/" + file,
                hash_file(HashAlgorithm::sha256, *library)};
            if (plan.runs_here) {
                if (only_defined(plan.op_namespace)) {
                    throw std::runtime_error(
                        "its operators are known from a model that was loaded for "
                        "inspection, which still calls them");
                }
                runtime::load_library(library->string(), plan.op_namespace);
            } else {
                loaded.missing = define_operators(*library, plan.variant_folder, plan.op_namespace).missing;
            }
        }
    } catch (const Error& error) {
        throw error.reworded(name + ": " + error.what());
    } catch (const std::exception& failure) {
        throw Error(ErrorCode::kernelize, name + ": " + failure.what());
    }
    return loaded;
}

std::string unfit_for(const LoadedKernel& kernel, layer::Mode mode, layer::Mode mapped) {
    const auto why = kernel.layer.unfit_for({mode.is_training(), mode.is_torch_compile()},
                                            {mapped.is_training(), mapped.is_torch_compile()});
    if (why.empty()) return why;
    return (kernel.plan.is_function ? "the kernel's function " : "the kernel's layer ") +
           kernel.plan.hub_layer + " " + why;
}

}  // namespace kernels::torchscript
