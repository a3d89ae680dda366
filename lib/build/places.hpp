// Where torch and the device libraries can be; nothing is run to find out.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/build/environment.hpp"
#include "kernels/core/version.hpp"

namespace kernels::build {

/// An environment in which torch may be installed, and how it came up.
struct Place {
    std::filesystem::path prefix;
    std::string origin;
    /// "3.11" where another prefix's Python uses these packages; empty: the prefix's own Python does.
    std::string python = {};
    /// Places with the same number are those of one Python; every_python: a folder of packages that all use.
    int interpreter = 0;
    static constexpr int every_python = -1;
};

/// The folders that PYTHONPATH names: every Python looks in them first.
std::vector<Place> python_path();

/// Whether something is there, and may be looked at.
bool is_there(const std::filesystem::path& path);

/// The places that the user's environment names, in the documented order.
std::vector<Place> places(const DetectOptions& options);

/// Those that a path stands for: the places of the Python that it is, or of the environment with one, else
/// the folder alone (of a file such as lib/libtorch.so the one above its own). PYTHONPATH's are among them.
std::vector<Place> named_places(const std::filesystem::path& path, const std::string& origin);

/// A torch in `prefix` itself, or the one whose share/cmake `prefix` is. `packages`: see read_torch_on.
std::optional<TorchInstallation> torch_at(const std::filesystem::path& prefix,
                                          const std::vector<std::filesystem::path>& packages = {});

/// The same, or a torch among the Python packages of the place, which is one of `all`.
std::optional<TorchInstallation> torch_below(const Place& place, const std::vector<Place>& all);

/// A torch of which only the version is known, "2.13" or "2.13.0+cu128", on a processor. Throws Error(usage)
/// for what is no version of a torch. With `needs_backend` also where the version does not tell it: of one
/// that names a commit of torch's source the system's CUDA runtime tells, where there is one.
TorchInstallation torch_of_version(const std::string& version, std::string_view cpu, bool needs_backend);

/// What the tag at the end of a torch version says: "+cu128", "+rocm6.4" or "+cpu".
std::optional<Backend> backend_of_tag(const std::string& version);

/// Whether that tag is a commit of torch's source, and so says nothing about the backend: "+git1a2b3c4", or
/// "+145a3a7bda.nv25.10" in the containers of NVIDIA.
bool is_tagged_by_commit(const std::string& version);

/// The name of the system that this program is for, as targets have it.
#ifdef __APPLE__
inline constexpr std::string_view this_system = "darwin";
#else
inline constexpr std::string_view this_system = "linux";
#endif

/// As read_torch on an operating system, "linux" or "darwin": on the latter a torch computes by Metal.
/// `packages`: where its Python looks for packages, in order; the folder that torch lies in always counts.
std::optional<TorchInstallation> read_torch_on(std::string_view os, const std::filesystem::path& folder,
                                               std::vector<std::filesystem::path> packages = {});

/// The version of macOS, from its own file.
std::optional<Version> macos_version(const std::filesystem::path& system_version_plist);

struct StatedVersion {
    Version version;
    std::string origin;  ///< the file that states it
};

/// The version of the installed Ascend toolkit, from its own files.
std::optional<StatedVersion> cann_version();

/// The version of the installed ROCm, from its own file.
std::optional<StatedVersion> rocm_version();

/// The version that a CUDA runtime library gives of itself: one in `folder`, else the system's.
std::optional<StatedVersion> cuda_runtime_version(const std::filesystem::path& folder = {});

/// Something that a library of the device's driver, or the kernel, said.
struct DeviceAnswer {
    std::string value;
    std::string origin;
};

/// What is known of the device that a program would use.
struct FoundDevice {
    std::optional<DeviceAnswer> answer;
    /// Without an answer: the different devices of the machine, of which one is it. A single one where
    /// CUDA_VISIBLE_DEVICES may hide it.
    std::vector<std::string> differing;
};

/// Compute capability of the CUDA device ("90"), of NVML or the CUDA driver.
FoundDevice cuda_capability();

/// Arch of the ROCm device ("gfx942"), of the kernel's driver, which writes a folder for each node, or HIP's
/// library: the copy in the torch folder `torch`, else the system's.
FoundDevice rocm_arch(const std::filesystem::path& torch = {},
                      const std::filesystem::path& nodes = "/sys/class/kfd/kfd/topology/nodes");

}  // namespace kernels::build
