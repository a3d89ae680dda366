// Whether a build's device code runs on a device: by what its metadata states, or by what its libraries hold.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/build/fatbin.hpp"
#include "kernels/build/metadata.hpp"
#include "kernels/build/selection.hpp"
#include "kernels/build/target.hpp"

namespace kernels::build {

/// A CUDA arch as metadata states it: `9.0`, `9.0a`, `10.0f`, `9.0+PTX`.
struct CudaArch {
    int major = 0;
    int minor = 0;
    char suffix = '\0';  ///< 'a' (this capability only), 'f' (its family), or none
    bool ptx = false;    ///< compiled on the device, so newer devices run it too

    static std::optional<CudaArch> parse(std::string_view text);
    /// Whether code for this arch runs on a device of `capability` (90 is 9.0).
    bool runs_on(int capability) const noexcept;
};

enum class Fit {
    yes,
    no,
    unknown,  ///< nothing is stated, or the target does not say which device it has
};

struct DeviceFit {
    Fit fit = Fit::unknown;
    std::string text;  ///< why, for people; empty when the build says nothing about devices
    /// Of a build that fits: the libraries in it, or the translation units of one, that hold no code for the
    /// device. They may be those for other devices, or the first call into them fails.
    std::string caution = {};
};

/// Whether code for any of `archs` (metadata's form) runs on the target's device. `backend_type` is the
/// metadata's, "cuda" or "rocm"; other backends have no archs. Archs that are all of an unknown form decide
/// nothing, as in the Python client.
DeviceFit device_fit(std::string_view backend_type, std::span<const std::string> archs, const Target& target);

/// By the metadata of a build: what can be known before downloading it.
DeviceFit device_fit(const Metadata& metadata, const Target& target);

/// By the device code of a library (DeviceCode::units): what can be known where the metadata is silent. One
/// translation unit with code for the device is enough, as that is how code for different devices is kept
/// apart; the others are the caution.
DeviceFit device_fit(const DeviceCode& code, const Target& target);

/// By the libraries of a build: one with code for the device is enough, since builds can have a library for
/// each arch; the others with device code are the caution. Where there is none, one that could not be read
/// may be it.
DeviceFit device_fit(std::span<const LibraryCode> libraries, const Target& target);

/// By both, for a build that is here: what the metadata refuses stays refused; else the libraries in its
/// folder decide, and where they tell nothing the metadata does. Without metadata the libraries decide alone.
/// Throws Error(failed) when there is no such folder.
DeviceFit device_fit(const std::optional<Metadata>& metadata, const std::filesystem::path& build_folder,
                     const Target& target);

/// Warns of what DeviceFit::caution names, if anything; `what` names the build.
void warn_of_caution(const DeviceFit& fit, const std::string& what);

/// Whether the target says which device it has, by capability or gfx name.
bool names_device(const Target& target);

/// Whether it is open if a build with this fit runs on the device. Never of Python-only builds, which are
/// compiled for the device when they first run.
bool device_unknown(const DeviceFit& fit, const BuildVariant& variant);

/// What is known of how a build of some version fits a target's device.
using DeviceFitOf = std::function<DeviceFit(const BuildVariant&, const Target&)>;

/// The same for suggestions: a build whose metadata or libraries cannot be read fits no device. What stood in
/// the way is logged.
DeviceFitOf if_known(DeviceFitOf fit_of);

/// Where the target names its device: the builds that were accepted and have no code for it are refused, each
/// with the reason; those of which nothing tells are marked (Decision::device_unknown). The check can be
/// skipped by not calling this: the metadata of a kernel with a Triton fallback can be narrower than the
/// truth.
void refuse_for_device(Selection& selection, const Target& target, const DeviceFitOf& fit_of);

/// Something in a build's metadata that a user should know.
struct Remark {
    enum class Kind { python_depends, kernels_minver, dirty };
    Kind kind;
    std::string text;
    bool is_warning = false;  ///< otherwise a plain report
};

/// python-depends (reported), kernels-minver (a warning when it is newer than the level this library
/// implements), and a build from a dirty source tree (a warning).
std::vector<Remark> remarks(const Metadata& metadata);

/// "python-depends", "kernels-minver" or "dirty", as `--json` documents have it.
std::string_view to_string(Remark::Kind kind) noexcept;

/// Logs them, each as what it is; `what` names the build.
void tell(std::span<const Remark> remarks, const std::string& what);

}  // namespace kernels::build
