#include "kernels/torch/model.hpp"

#include <caffe2/serialize/inline_container.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "device_ops.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"
#include "kernels/runtime/runtime.hpp"

namespace kernels::torchscript {
namespace {

namespace fs = std::filesystem;

std::string first_line(std::string_view text) {
    return std::string(split(trimmed(text), '\n').front());
}

// What a file that is no TorchScript archive probably is.
std::string guess_kind(const fs::path& path) {
    std::array<char, 4> magic{};
    std::ifstream in(path, std::ios::binary);
    in.read(magic.data(), magic.size());
    const std::string_view start(magic.data(), static_cast<std::size_t>(in.gcount()));
    if (path.extension() == ".safetensors") return "it holds weights only (safetensors)";
    if (start.empty()) return "it is empty";
    if (!start.starts_with("PK")) return "it is no zip archive";
    return "it is a zip archive without TorchScript code, such as a checkpoint of torch.save, or damaged";
}

// The names of an archive's extra files.
std::vector<std::string> extra_names(const fs::path& path) {
    caffe2::serialize::PyTorchStreamReader reader(path.string());
    std::vector<std::string> names;
    constexpr std::string_view prefix = "extra/";
    for (const auto& record : reader.getAllRecords()) {
        if (record.starts_with(prefix)) names.push_back(record.substr(prefix.size()));
    }
    return names;
}

// Makes the operators of a kernelized model known, so that it can be looked into.
void define_for_inspection(const fs::path& path) {
    const auto manifest = runtime::read_manifest(path.string());
    const auto runs_here = [&](const runtime::KernelEntry& kernel) {
        return runtime::cannot_run(manifest->device, kernel.variant).empty();
    };
    if (std::all_of(manifest->kernels.begin(), manifest->kernels.end(), runs_here)) {
        runtime::load(path.string());
        return;
    }
    for (const auto& kernel : manifest->kernels) {
        const fs::path library = runtime::find_library(kernel, path.string());
        define_operators(library, library.parent_path(), kernel.op_namespace);
    }
}

}  // namespace

Model load_model(const fs::path& path, ModelUse use) {
    std::error_code error;
    if (!fs::is_regular_file(path, error))
        throw Error(ErrorCode::not_found, path.string() + ": no such file");
    const std::string hint =
        "make one with torch.jit.script(model).save(…) or torch.jit.trace(model, input).save(…)";
    bool kernelized = false;
    Model model;
    try {
        for (const auto& name : extra_names(path))
            model.extra_files[name] = "";
        kernelized = model.extra_files.contains(runtime::manifest_name);
    } catch (const std::exception&) {
        throw Error(ErrorCode::failed, path.string() + ": not a TorchScript archive: " + guess_kind(path),
                    hint);
    }
    if (kernelized) {
        try {
            use == ModelUse::run ? static_cast<void>(runtime::load(path.string()))
                                 : define_for_inspection(path);
        } catch (const std::exception& failure) {
            throw Error(ErrorCode::failed, first_line(failure.what()));
        }
    }
    try {
        model.module = torch::jit::load(path.string(), std::nullopt, model.extra_files);
    } catch (const c10::Error& failure) {
        const std::string why = first_line(failure.what_without_backtrace());
        const bool no_code = why.find("constants.pkl") != std::string::npos;
        throw Error(ErrorCode::failed,
                    path.string() + ": not a TorchScript archive that can be loaded: " +
                        (no_code ? guess_kind(path) : why),
                    no_code ? hint : std::string());
    } catch (const std::exception& failure) {
        throw Error(ErrorCode::failed, path.string() + ": cannot be loaded: " + first_line(failure.what()),
                    hint);
    }
    return model;
}

void save_model(const Model& model, const fs::path& path) {
    // torch names the archive's inner folder after the file: a fixed name keeps equal models equal.
    const fs::path parent = path.has_parent_path() ? path.parent_path() : fs::path(".");
    const fs::path folder = parent / ("." + path.filename().string() + "." + std::to_string(::getpid()));
    const fs::path temporary = folder / "model.pt";
    std::error_code error;
    fs::create_directory(folder, error);
    if (error) {
        throw Error(ErrorCode::failed, path.string() + ": cannot be written: " + error.message(),
                    "name another place with --output");
    }
    try {
        model.module.save(temporary.string(), model.extra_files);
    } catch (const std::exception& failure) {
        fs::remove_all(folder, error);
        throw Error(ErrorCode::failed, path.string() + ": cannot be written: " + first_line(failure.what()));
    }
    std::error_code renamed;
    fs::rename(temporary, path, renamed);
    fs::remove_all(folder, error);
    if (renamed) throw Error(ErrorCode::failed, path.string() + ": cannot be written: " + renamed.message());
}

}  // namespace kernels::torchscript
