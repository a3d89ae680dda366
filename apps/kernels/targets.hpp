// The machines that a command is about, and what fits them.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "common/program.hpp"
#include "kernels/build/device_fit.hpp"
#include "kernels/build/suggestion.hpp"
#include "kernels/build/target.hpp"

namespace kernels::app {

/// Each --target; without one this machine, with the torch of --torch or the one that `folder` (a project's)
/// uses.
std::vector<build::Target> targets_from(const Context& context, const std::filesystem::path& folder);

/// Whether --target or --torch says which.
bool names_targets(const Context& context);

/// `fit_of`, or with --no-device-check nothing.
build::DeviceFitOf unless_skipped(const Context& context, build::DeviceFitOf fit_of);

/// Decides every build as a download would: by its name, and by `fit_of` (if it is one) where the target
/// names its device. What cannot be found out about a build is warned about and does not refuse it.
build::Selection decide(std::span<const build::BuildVariant> variants, const build::Target& target,
                        const build::DeviceFitOf& fit_of);

/// The other versions of a kernel, newest first; asked for only where no build is usable. Empty where there
/// are none, as for a local folder.
using OtherVersions = std::function<std::vector<build::OtherVersion>()>;

/// What would help where none of these builds is usable.
std::vector<build::Suggestion> suggestions_for(const build::Selection& selection, const build::Target& target,
                                               const build::DeviceFitOf& fit_of, const OtherVersions& others);

/// What was decided about the builds, a document for each target: `{"target", "preferred", "builds":
/// [{"variant", "fits", "device", "reason", "text"}], "suggestions"}`.
nlohmann::ordered_json targets_to_json(std::span<const build::BuildVariant> variants,
                                       std::span<const build::Target> targets,
                                       const build::DeviceFitOf& fit_of, const OtherVersions& others);

}  // namespace kernels::app
