// The machines that a command is about, and what fits them.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "common/program.hpp"
#include "kernels/build/target.hpp"

namespace kernels::app {

/// Each --target; without one this machine, with the torch of --torch or the one that `folder` (a project's)
/// uses.
std::vector<build::Target> targets_from(const Context& context, const std::filesystem::path& folder);

/// What was decided about the builds, a document for each target: `{"target", "preferred", "builds":
/// [{"variant", "fits", "reason", "text"}]}`.
nlohmann::ordered_json targets_to_json(std::span<const build::BuildVariant> variants,
                                       std::span<const build::Target> targets);

}  // namespace kernels::app
