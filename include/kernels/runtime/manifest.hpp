// What a kernelized model says about the kernels that it calls: the extra file `kernels.json` of its archive.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#define KERNELS_RUNTIME_API __attribute__((visibility("default")))

namespace kernels::runtime {

/// The name of the manifest among the archive's extra files.
inline constexpr const char* manifest_name = "kernels.json";

/// A kernel library that must be loaded before the model.
struct KernelEntry {
    std::string repo;     ///< "org/name"; empty for a local kernel
    std::string commit;   ///< empty for a local kernel
    std::string variant;  ///< build variant
    std::string op_namespace;
    std::string
        library;  ///< "build/<variant>/<file>.so" in the repository; an absolute path for a local kernel
    std::string sha256;  ///< of the library, hexadecimal
    /// The schemas of its operators that the model calls, so that the model can be read without the library.
    /// Nothing where they are not known: in models from before there was this, and where a schema cannot be
    /// written.
    std::optional<std::vector<std::string>> operators = std::nullopt;
};

/// What became of one layer of the model.
struct LayerEntry {
    std::string module;  ///< path in the module tree, "blocks.0.norm"
    std::string layer;   ///< layer name
    std::string repo;
    std::string hub_layer;  ///< class in the kernel repository
    std::string commit;
    std::string variant;
    std::string status;  ///< "replaced" or "kept"
    std::string reason;  ///< why it was kept
    std::string mode;    ///< for which the mapping has the kernel: "training", say, or "fallback"
};

struct KERNELS_RUNTIME_API Manifest {
    std::string torch;   ///< version that wrote the model
    std::string device;  ///< "cpu"
    std::string mode;    ///< "inference"
    std::vector<KernelEntry> kernels;
    std::vector<LayerEntry> layers;
    /// The machine that the kernels were chosen for, in the form of `--target`; empty: the one that wrote the
    /// model.
    std::string target;

    /// Throws std::runtime_error for anything that is no manifest, and for library paths that leave their
    /// repository.
    static Manifest parse(std::string_view json);
    /// The same document back; equal manifests give equal bytes.
    std::string to_json() const;
};

}  // namespace kernels::runtime
