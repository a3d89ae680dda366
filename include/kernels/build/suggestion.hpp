// What would help where no build fits: another version of the kernel, or a change of the environment.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/build/device_fit.hpp"
#include "kernels/build/selection.hpp"
#include "kernels/core/error.hpp"

namespace kernels::build {

/// The builds of another version of the same kernel.
struct OtherVersion {
    std::string name;  ///< "v3"
    std::vector<BuildVariant> variants;
    DeviceFitOf device_fit;  ///< asked for its preferred build when the target names its device; may be empty
};

struct Suggestion {
    /// `target` is several changes at once.
    enum class Kind { version, torch, backend, macos, tvm_ffi, cxx11_abi, target };
    Kind kind;
    /// What to choose: "v3", "2.12", "12.6" (the version alone), "true" or "false" of cxx11_abi; of `target`
    /// what Target::parse reads.
    std::string value;
    std::string variant;  ///< the build that would then fit
    std::string text;     ///< "v3 has a stable-ABI build that fits torch 2.13 (torch-stable-abi29-…)"
};

/// The stable name of a kind in `--json` documents, such as "tvm-ffi".
std::string_view to_string(Suggestion::Kind kind) noexcept;

/// The cheapest changes, each tried before it is suggested, for the target's device too where `fit_of` knows
/// it. First another version of `others` (the first in the given order with a build that fits wins, so give
/// the newest first). Then the torch, tvm-ffi, macOS or backend version with which one of the refused builds
/// fits, of each the nearest older and the nearest newer one. Only where no such change helps alone, the
/// nearest build that several of them together help; another kind of backend is never suggested, as that is
/// another device.
std::vector<Suggestion> suggest(const Selection& selection, const Target& target,
                                std::span<const OtherVersion> others = {}, const DeviceFitOf& fit_of = {});

/// Who can build more of a kernel: its publisher, or for one in a folder the user.
enum class Origin { hub, local };

/// The error when nothing fits: `what` names the kernel; each build follows with the reason, nearest first;
/// the suggestions are the hint. Where the preferred build was refused for its device the message is about
/// that build, and the others are told why they were not taken.
Error no_build_error(const std::string& what, const Selection& selection, const Target& target,
                     std::span<const Suggestion> suggestions, Origin origin = Origin::hub);

}  // namespace kernels::build
