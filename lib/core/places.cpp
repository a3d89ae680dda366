#include "kernels/core/places.hpp"

#include "kernels/core/files.hpp"

namespace kernels {

std::filesystem::path hugging_face_home() {
    if (const auto home = environment_variable("HF_HOME")) return expand_user(*home);
    if (const auto xdg = environment_variable("XDG_CACHE_HOME")) return expand_user(*xdg) / "huggingface";
    return home_directory() / ".cache" / "huggingface";
}

std::filesystem::path hub_cache_folder() {
    for (const char* name : {"KERNELS_CACHE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
        if (const auto folder = environment_variable(name)) return expand_user(*folder);
    }
    return hugging_face_home() / "hub";
}

}  // namespace kernels
