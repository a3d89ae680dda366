// The folders of one repository in the cache, as they are on disk.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernels/core/reference.hpp"

namespace kernels::hub {

/// The paths of all files (and links) below a folder, sorted; none when it is not there.
std::vector<std::string> files_below(const std::filesystem::path& folder);
/// The commits that have a snapshot.
std::vector<Commit> snapshots_of(const std::filesystem::path& repo_folder);
/// What refs/ says: name and text.
std::map<std::string, std::string> refs_of(const std::filesystem::path& repo_folder);
/// The name of the blob that a snapshot's file links to; nothing for a copy.
std::optional<std::string> linked_blob(const std::filesystem::path& file);

}  // namespace kernels::hub
