#include "kernels/core/places.hpp"

#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"

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

std::optional<std::filesystem::path> local_kernel_folder(const RepoId& repo) {
    const std::string list = environment_variable("LOCAL_KERNELS").value_or("");
    for (const auto item : split(list, ':')) {
        const auto equals = item.find('=');
        if (equals != std::string_view::npos && item.substr(0, equals) == repo.to_string())
            return expand_user(item.substr(equals + 1));
    }
    return std::nullopt;
}

}  // namespace kernels
