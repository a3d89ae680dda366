#include "loaded_kernel.hpp"

#include <algorithm>
#include <vector>

#include "kernels/core/digest.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "kernels/runtime/runtime.hpp"

namespace kernels::torchscript {
namespace {

namespace fs = std::filesystem;

std::optional<fs::path> library_of(const fs::path& folder) {
    std::vector<fs::path> libraries;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (entry.path().extension() == ".so") libraries.push_back(entry.path());
    }
    std::sort(libraries.begin(), libraries.end());
    return libraries.empty() ? std::nullopt : std::optional(libraries.front());
}

}  // namespace

LoadedKernel load_kernel(KernelLayer kernel) {
    const std::string name = kernel.repo.empty() ? kernel.variant_folder.string() : kernel.repo;
    LoadedKernel loaded{std::move(kernel), {}, std::nullopt};
    const KernelLayer& plan = loaded.plan;
    try {
        const auto source = HubModule::load(plan.variant_folder, plan.is_function);
        loaded.layer =
            plan.is_function ? source.function_layer(plan.hub_layer) : source.layer(plan.hub_layer);
        if (const auto library = library_of(plan.variant_folder)) {
            const std::string file = library->filename().string();
            loaded.entry = {plan.repo,
                            plan.commit,
                            plan.variant,
                            plan.op_namespace,
                            plan.repo.empty() ? library->string() : "build/" + plan.variant + "/" + file,
                            hash_file(HashAlgorithm::sha256, *library)};
            runtime::load_library(library->string(), plan.op_namespace);
        }
    } catch (const Error& error) {
        throw Error(error.code(), name + ": " + error.what(), error.hint(), error.details());
    } catch (const std::exception& failure) {
        throw Error(ErrorCode::kernelize, name + ": " + failure.what());
    }
    return loaded;
}

std::string broken_rule(const LoadedKernel& kernel) {
    if (kernel.layer.violations.empty()) return {};
    return "the kernel's layer " + kernel.plan.hub_layer + " " + join(kernel.layer.violations, ", ");
}

std::string unfit_for(const LoadedKernel& kernel, layer::Mode mode) {
    const std::string name =
        (kernel.plan.is_function ? "the kernel's function " : "the kernel's layer ") + kernel.plan.hub_layer;
    if (mode.is_training() && !kernel.layer.has_backward) return name + " has no backward";
    if (mode.is_training() && kernel.layer.python_backward) {
        return name + " has its backward in a Python autograd function, which TorchScript does not run";
    }
    if (mode.is_torch_compile() && !kernel.layer.can_torch_compile) {
        return name + " cannot be used with torch.compile";
    }
    return {};
}

}  // namespace kernels::torchscript
