// Which build of a kernel fits a target, and why the others do not. The rules and their order are the Python
// client's.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/build/build_variant.hpp"
#include "kernels/build/target.hpp"

namespace kernels::build {

/// The rule that refused a build, in the order in which the rules are tried. select() never says `device`:
/// see refuse_for_device (device_fit.hpp).
enum class Reason { cpu, os, torch_version, cxx11_abi, stable_abi, tvm_ffi, backend, macos, device };

/// The stable name of a reason in `--json` documents, such as "torch-version".
std::string_view to_string(Reason reason) noexcept;

struct Rejection {
    Reason reason;
    std::string text;  ///< for people
};

/// One build and what was decided about it.
struct Decision {
    BuildVariant variant;
    std::optional<Rejection> rejection;  ///< nothing: the build fits
    /// It fits by its name, and whether it has code for the device that the target names nothing tells yet.
    bool device_unknown = false;
    bool accepted() const noexcept { return !rejection.has_value(); }
};

/// All builds, decided: the ones that fit first, most preferred first, then the refused ones. One refused for
/// its device keeps its place, as the Python client refuses it then and takes no other.
struct Selection {
    std::vector<Decision> decisions;
    /// The build to use; nullptr when none fits, or when the preferred one has no code for the device.
    const BuildVariant* best() const noexcept;
    /// Whether the preferred build fits by its name and has no code for the device (see refuse_for_device).
    bool refused_for_device() const noexcept;
};

/// Decides every build. Preference among those that fit: stable-ABI builds (newest ABI first), torch builds
/// (untagged before tagged), then tvm-ffi and noarch; within one the highest backend minor version; universal
/// last. The order of `variants` decides between equals.
Selection select(std::span<const BuildVariant> variants, const Target& target);

/// All builds as people are told of them: those that fit by their names as they are preferred, then the
/// others, nearest first.
std::vector<Decision> as_told(const Selection& selection, const Target& target);

/// The refused builds, the ones first that need the least change of the target to fit.
std::vector<Decision> nearest_first(const Selection& selection, const Target& target);

}  // namespace kernels::build
