// What this machine and its torch are, read from files: no Python is started.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "kernels/build/target.hpp"
#include "kernels/core/error.hpp"

namespace kernels::build {

/// Something that was found out, and where.
struct Fact {
    std::string name;
    std::string value;
    std::string origin;
};

struct DetectOptions {
    /// A libtorch or site-packages/torch folder, a Python environment (or its bin/python), or a
    /// version such as "2.13" or "2.13+cu128".
    std::optional<std::string> torch;
    /// Where a `.venv` may be.
    std::filesystem::path project = ".";
    /// The folder of the project when `project` lies below it: a `.venv` may be in each folder up to it, and
    /// the nearest one wins.
    std::filesystem::path project_root = {};
    /// Who named `torch`, as facts and errors are to say: the name of an option, say.
    std::string torch_origin = "the given torch";
    /// Somebody else names the backend (a target, say), so that a torch which is given by its version may
    /// leave it open.
    bool backend_is_named = false;
    /// For a page that a person reads: devices that the backend does not use are facts too, and a torch that
    /// is named and not there is in `missing`.
    bool for_report = false;
};

/// A torch installation, as its own files describe it.
struct TorchInstallation {
    std::filesystem::path
        folder;           ///< holds lib/ and version.py or build-version; empty when only a version was given
    std::string version;  ///< in full, "2.13.0+cpu"
    bool cxx11_abi = true;
    Backend backend;
    std::string origin;  ///< why this one: torch_origin, "KERNELS_TORCH", "VIRTUAL_ENV", ...
    /// The folders in which its Python looks for packages, in their order: what extends it may be in another
    /// than torch.
    std::vector<std::filesystem::path> packages;
    /// What decided the backend where that is not torch itself: torch_npu and where it is, say.
    std::string backend_origin;
    /// Why the backend is not known, in a sentence: the libraries of another one than the CPU are there and
    /// nothing tells its version. `backend` is the CPU then.
    std::string backend_unknown = {};
};

/// Something that could not be found, and what that means, in a sentence.
struct Missing {
    std::string text;
    std::optional<Remedy> remedy;
};

struct Environment {
    Target target;
    std::optional<TorchInstallation> torch;
    std::vector<Fact> facts;
    std::vector<Missing> missing;
};

/// Looks for torch in this order: options.torch, $KERNELS_TORCH, $PYTHONPATH, $VIRTUAL_ENV, $CONDA_PREFIX,
/// `.venv` in the project, the environment of `python3` on PATH (each with the user's and the system's
/// packages where its Python has them, in the order of sys.path), a libtorch in $CMAKE_PREFIX_PATH (its own
/// folder, or its share/cmake, which CMake is given too) or /usr. Without torch the CUDA runtime's own
/// version counts, else the backend is cpu. Throws Error(usage) when an explicitly named torch is not there,
/// or it computes on a backend of unknown version and nobody else names one, and Error(failed) when the first
/// that is there is damaged, as its next best would be another one; for a report that is what is missing.
Environment detect(const DetectOptions& options);

/// Reads one torch folder, with the packages beside it; nothing when it holds no torch. Throws Error(failed)
/// when it holds a damaged one.
std::optional<TorchInstallation> read_torch(const std::filesystem::path& folder);

}  // namespace kernels::build
