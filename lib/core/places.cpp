#include "kernels/core/places.hpp"

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"

namespace kernels {

std::filesystem::path hugging_face_home() {
    if (const auto home = environment_variable("HF_HOME")) return expand_variables(*home);
    if (const auto xdg = environment_variable("XDG_CACHE_HOME"))
        return expand_variables(*xdg) / "huggingface";
    return home_directory() / ".cache" / "huggingface";
}

std::filesystem::path hub_cache_folder() {
    // As in Python, variables in this one stand for themselves: it is the kernels client's, not the
    // library's.
    if (const auto folder = environment_variable("KERNELS_CACHE")) return expand_user(*folder);
    for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
        if (const auto folder = environment_variable(name)) return expand_variables(*folder);
    }
    return hugging_face_home() / "hub";
}

std::vector<LocalKernel> local_kernels() {
    const std::string list = environment_variable("LOCAL_KERNELS").value_or("");
    std::vector<LocalKernel> kernels;
    for (const auto entry : split(list, ':')) {
        if (entry.empty()) continue;
        const auto equals = entry.find('=');
        const std::string_view name = entry.substr(0, equals);
        std::string wrong;
        if (equals == std::string_view::npos) {
            wrong = "it has no =";
        } else if (equals + 1 == entry.size()) {
            wrong = "it names no folder";
        } else {
            try {
                kernels.push_back({RepoId::parse(name), expand_user(entry.substr(equals + 1))});
            } catch (const Error&) {
                wrong = backquoted(name) + " is no org/name";
            }
        }
        if (!wrong.empty()) {
            throw Error(ErrorCode::usage, "LOCAL_KERNELS: the entry " + backquoted(entry) + ": " + wrong,
                        "write org/name=folder, several with : between them");
        }
    }
    return kernels;
}

std::optional<std::filesystem::path> local_kernel_folder(const RepoId& repo) {
    std::optional<std::filesystem::path> folder;
    for (auto& kernel : local_kernels()) {
        if (kernel.repo == repo) folder = std::move(kernel.folder);
    }
    return folder;
}

}  // namespace kernels
