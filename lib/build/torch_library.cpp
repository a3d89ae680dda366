#include "build/torch_library.hpp"

#include <algorithm>
#include <vector>

#include "kernels/build/build_variant.hpp"

namespace kernels::build {

namespace fs = std::filesystem;

std::optional<fs::path> torch_library(const fs::path& build_folder, const std::string& op_namespace) {
    std::vector<fs::path> libraries;
    for (const auto& entry : fs::directory_iterator(build_folder)) {
        // Builds for Windows have .pyd; it is Python's own suffix for a .dll.
        const auto extension = entry.path().extension();
        if (extension == ".so" || extension == ".pyd") libraries.push_back(entry.path());
    }
    std::sort(libraries.begin(), libraries.end());
    const auto named = std::find_if(libraries.begin(), libraries.end(), [&](const fs::path& path) {
        return path.filename().string().starts_with(op_namespace + ".");
    });
    if (named != libraries.end()) return *named;
    return libraries.empty() ? std::nullopt : std::optional(libraries.front());
}

std::string why_not_callable(const std::string& variant, bool has_library) {
    const auto parsed = BuildVariant::try_parse(variant);
    if (parsed && parsed->framework() == FrameworkKind::tvm_ffi) {
        return "its build " + variant +
               " is for tvm-ffi; TorchScript calls torch operators, which a tvm-ffi build does not register";
    }
    if (has_library) return {};
    return "its build " + variant +
           " has no compiled library; Triton and other Python-only kernels cannot be called from TorchScript";
}

}  // namespace kernels::build
