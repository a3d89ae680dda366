#include "served.hpp"

#include "build/places.hpp"
#include "kernels/build/device_fit.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"

namespace kernels::runtime {

build::Target device_here(const std::string& device) {
    build::Target target;
    if (device == "cuda") {
        target.backend.kind = build::BackendKind::cuda;
        if (const auto answer = build::cuda_capability().answer) target.capability = std::stoi(answer->value);
    } else if (device == "rocm") {
        target.backend.kind = build::BackendKind::rocm;
        if (const auto answer = build::rocm_arch().answer) target.gpu_arch = answer->value;
    }
    return target;
}

std::string why_not_served(const std::string& library, const build::Target& target) {
    if (!build::names_device(target) || environment_flag("KERNELS_NO_DEVICE_CHECK")) return {};
    try {
        const auto fit = build::device_fit(build::read_device_code(library), target);
        if (fit.fit != build::Fit::no) return {};
        // A build may have a library for each arch, of which this one calls the right one.
        const auto folder = std::filesystem::path(library).parent_path();
        for (const auto& other : build::read_build_code(folder)) {
            if (build::device_fit(other.code, target).fit == build::Fit::yes) return {};
        }
        return fit.text;
    } catch (const Error&) {
        return {};  // the loader will say what is wrong with the file
    }
}

}  // namespace kernels::runtime
