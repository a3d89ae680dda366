#include "kernels/runtime/runtime.hpp"

#include <torch/library.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "kernels/core/digest.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/places.hpp"
#include "kernels/core/text.hpp"
#include "kernels/runtime/archive.hpp"
#include "served.hpp"

namespace kernels::runtime {
namespace {

namespace fs = std::filesystem;

// Whether the user has named a folder around a local kernel's library: a model names files of this machine
// as its maker likes.
bool is_in_named_folder(const fs::path& library) {
    std::error_code error;
    const fs::path file = fs::weakly_canonical(library, error);
    const auto kernels = local_kernels();
    return std::any_of(kernels.begin(), kernels.end(), [&](const LocalKernel& kernel) {
        const fs::path folder = fs::weakly_canonical(kernel.folder, error);
        return !error &&
               std::mismatch(folder.begin(), folder.end(), file.begin(), file.end()).first == folder.end();
    });
}

// Where a kernel's library may be, best first.
std::vector<fs::path> candidates(const KernelEntry& kernel, const std::string& model) {
    std::vector<fs::path> places;
    const std::string name = fs::path(kernel.library).filename().string();
    const std::string search_path = environment_variable("KERNELS_LIBRARY_PATH").value_or("");
    for (const auto folder : split(search_path, ':')) {
        if (!folder.empty()) places.push_back(fs::path(folder) / name);
    }
    places.push_back(fs::path(model + ".kernels") / name);
    if (kernel.repo.empty()) {
        if (is_in_named_folder(kernel.library)) places.emplace_back(kernel.library);
    } else {
        std::string folder = "kernels--" + kernel.repo;
        folder.replace(folder.find('/'), 1, "--");
        places.push_back(hub_cache_folder() / folder / "snapshots" / kernel.commit / kernel.library);
    }
    return places;
}

std::string name_of(const KernelEntry& kernel) {
    return kernel.repo.empty() ? kernel.library
                               : kernel.repo + "@" + kernel.commit + " (" + kernel.variant + ")";
}

}  // namespace

std::string find_library(const KernelEntry& kernel, const std::string& model) {
    std::string differing;
    for (const auto& place : candidates(kernel, model)) {
        std::error_code error;
        if (!fs::is_regular_file(place, error)) continue;
        if (hash_file(HashAlgorithm::sha256, place) == kernel.sha256) return place.string();
        differing = place.string();
    }
    if (!differing.empty()) {
        throw std::runtime_error(model + ": " + differing +
                                 " is not the library that the model was made with (SHA-256 " +
                                 kernel.sha256 + ")");
    }
    if (kernel.repo.empty()) {
        throw std::runtime_error(model + ": its local kernel " + name_of(kernel) +
                                 " is loaded only from a folder that you name: "
                                 "set KERNELS_LIBRARY_PATH to the folder of the library");
    }
    throw std::runtime_error(model + ": its kernel " + name_of(kernel) +
                             " is not on this machine; run `kernels download` "
                             "in its project, or name the library's folder in KERNELS_LIBRARY_PATH");
}

std::optional<Manifest> read_manifest(const std::string& path) {
    std::error_code error;
    if (!fs::is_regular_file(path, error)) throw std::runtime_error(path + ": no such file");
    constexpr std::uint64_t largest_manifest = 16U << 20U;
    std::string text;
    try {
        const auto records = check_archive(path, ArchiveCheck::structure);
        const std::string ending = std::string("/extra/") + manifest_name;
        const auto found = std::find_if(records.begin(), records.end(), [&](const ArchiveRecord& record) {
            return record.name.substr(record.name.find('/')) == ending;
        });
        if (found == records.end()) return std::nullopt;
        text = read_record(path, *found, largest_manifest);
    } catch (const std::runtime_error& failure) {
        throw std::runtime_error(path + ": not a TorchScript archive: " + failure.what());
    }
    try {
        return Manifest::parse(text);
    } catch (const std::runtime_error& failure) {
        throw std::runtime_error(path + ": " + failure.what());
    }
}

std::vector<std::string> load(const std::string& path) {
    const auto manifest = read_manifest(path);
    if (!manifest) throw std::runtime_error(path + ": not a kernelized model: it has no manifest");
    std::vector<std::string> namespaces;
    try {
        for (const auto& kernel : manifest->kernels) {
            if (const auto why = cannot_run(manifest->device, kernel.variant); !why.empty()) {
                throw std::runtime_error(path + ": it is kernelized for " + manifest->device + ", with " +
                                         name_of(kernel) + ": " + why);
            }
        }
        const build::Target here = device_here(manifest->device);
        for (const auto& kernel : manifest->kernels) {
            const auto library = find_library(kernel, path);
            if (const auto why = why_not_served(library, here); !why.empty()) {
                throw std::runtime_error(path + ": its kernel " + name_of(kernel) + " has no code for the " +
                                         manifest->device + " device here: " + why +
                                         " (KERNELS_NO_DEVICE_CHECK=1 loads it all the same)");
            }
            try {
                load_library(library, kernel.op_namespace);
            } catch (const std::runtime_error& failure) {
                throw std::runtime_error(path + ": " + failure.what());
            }
            namespaces.push_back(kernel.op_namespace);
        }
    } catch (const Error& error) {
        // Error is this library's own copy; callers see a standard exception.
        throw std::runtime_error(error.what());
    }
    return namespaces;
}

}  // namespace kernels::runtime

TORCH_LIBRARY(kernels, library) {
    library.def("load(str path) -> str[]",
                [](const std::string& path) { return kernels::runtime::load(path); });
}
