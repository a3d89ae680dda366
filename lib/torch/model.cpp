#include "kernels/torch/model.hpp"

#include <torch/csrc/jit/serialization/export.h>

#include <algorithm>

#include "device_ops.hpp"
#include "graph_calls.hpp"
#include "guarded_memory.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"
#include "kernels/runtime/archive.hpp"
#include "kernels/runtime/runtime.hpp"
#include "shared_places.hpp"
#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

namespace fs = std::filesystem;

// What a file that is no TorchScript archive probably is; `why` is what is wrong with it as an archive.
std::string guess_kind(const fs::path& path, const std::string& why) {
    if (path.extension() == ".safetensors") return "it holds weights only (safetensors)";
    return why;
}

// libtorch believes the size that a tensor states, whatever its record holds.
void check_sizes(const std::vector<at::Tensor>& tensors) {
    for (const auto& tensor : tensors) {
        if (!tensor.has_storage()) continue;
        const auto& storage = tensor.storage();
        const auto size = GuardedMemory::size_of(storage.data());
        if (size && *size < storage.nbytes())
            throw std::runtime_error("the record of one of its tensors is cut off");
    }
}

// Its weights, and the constants in its code.
std::vector<at::Tensor> all_tensors(const torch::jit::Module& module) {
    std::vector<at::Tensor> tensors = weights_of(module);
    for (auto* graph : graphs_of(module)) {
        for_each_node(graph->block(), [&](const torch::jit::Node* node) {
            if (node->kind() != c10::prim::Constant || node->outputs().empty()) return;
            if (const auto value = torch::jit::toIValue(node->output())) {
                for (const auto& tensor : tensors_in({*value}))
                    tensors.push_back(tensor);
            }
        });
    }
    return tensors;
}

// Makes the operators of a kernelized model known, so that it can be looked into.
void define_for_inspection(const fs::path& path) {
    const auto manifest = runtime::read_manifest(path.string());
    for (const auto& kernel : manifest->kernels)
        define_operators(kernel, path.string());
}

}  // namespace

Model load_model(const fs::path& path, ModelUse use) {
    if (const auto kind = special_kind(path); !kind.empty())
        throw Error(ErrorCode::failed, path.string() + ": it is " + kind + ", no file of a model");
    std::error_code error;
    if (!fs::is_regular_file(path, error))
        throw Error(ErrorCode::not_found, path.string() + ": no such file");
    const std::string hint =
        "make one with torch.jit.script(model).save(…) or torch.jit.trace(model, input).save(…)";
    const std::string no_code_kind =
        "it is a zip archive without TorchScript code, such as a checkpoint of torch.save";
    bool kernelized = false;
    Model model;
    try {
        for (const auto& record : runtime::check_archive(path.string(), runtime::ArchiveCheck::contents)) {
            constexpr std::string_view folder = "/extra/";
            const std::string_view name = std::string_view(record.name).substr(record.name.find('/'));
            if (name.starts_with(folder)) model.extra_files[std::string(name.substr(folder.size()))] = "";
        }
        kernelized = model.extra_files.contains(runtime::manifest_name);
    } catch (const std::exception& failure) {
        throw Error(ErrorCode::failed,
                    path.string() + ": not a TorchScript archive: " + guess_kind(path, failure.what()), hint);
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
        const GuardedMemory memory;
        model.module = torch::jit::load(path.string(), std::nullopt, model.extra_files);
        check_sizes(all_tensors(model.module));
    } catch (const c10::Error& failure) {
        const std::string why = first_line(failure.what_without_backtrace());
        const bool no_code = why.find("constants.pkl") != std::string::npos;
        throw Error(ErrorCode::failed,
                    path.string() +
                        ": not a TorchScript archive that can be loaded: " + (no_code ? no_code_kind : why),
                    no_code ? hint : std::string());
    } catch (const std::exception& failure) {
        throw Error(ErrorCode::failed, path.string() + ": cannot be loaded: " + first_line(failure.what()),
                    hint);
    }
    return model;
}

c10::IValue load_values(const fs::path& path, std::uintmax_t limit) {
    if (const auto kind = special_kind(path); !kind.empty())
        throw Error(ErrorCode::failed, path.string() + ": it is " + kind + ", no file of tensors");
    const std::string bytes = read_file(path, limit);
    try {
        runtime::check_archive(path.string(), runtime::ArchiveCheck::contents);
        const GuardedMemory memory;
        const auto value = torch::jit::pickle_load(std::vector<char>(bytes.begin(), bytes.end()));
        check_sizes(tensors_in({value}));
        return value;
    } catch (const c10::Error& failure) {
        throw Error(ErrorCode::failed, path.string() + ": not a tensor file",
                    "write it in Python with torch.save(tensor, path)",
                    {first_line(failure.what_without_backtrace())});
    } catch (const std::exception& failure) {
        throw Error(ErrorCode::failed, path.string() + ": not a tensor file: " + first_line(failure.what()),
                    "write it in Python with torch.save(tensor, path)");
    }
}

void save_model(const Model& model, const fs::path& path) {
    try {
        AtomicFile file(path);
        // libtorch's writer ends the program when a write fails: its destructor goes on to write, and throws.
        std::exception_ptr failure;
        const auto write = [&](const void* bytes, std::size_t size) {
            try {
                if (model.cancel != nullptr && *model.cancel)
                    throw Error(ErrorCode::interrupted, "interrupted");
                if (!failure) file.write({static_cast<const char*>(bytes), size});
            } catch (const Error&) {
                if (!failure) failure = std::current_exception();
            }
            return size;
        };
        share_places(model.module);
        torch::jit::ExportModule(model.module, write, model.extra_files);
        if (failure) std::rethrow_exception(failure);
        file.commit();
    } catch (const Error&) {
        throw;
    } catch (const std::exception& failure) {
        throw Error(ErrorCode::failed, path.string() + ": cannot be written: " + first_line(failure.what()));
    }
}

}  // namespace kernels::torchscript
