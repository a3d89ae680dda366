// Whether a build's files are the ones that its own metadata.json names.
#pragma once

#include <atomic>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "kernels/build/metadata.hpp"

namespace kernels::verify {

/// Compares the files of a variant's folder with the digest of its metadata: one line for each missing,
/// changed or additional file, empty when all is right. Like the Python client it leaves out metadata.json,
/// its signature and Python bytecode. Without a digest nothing can be wrong.
/// Files of which `sha256` (path below the folder, hexadecimal) knows the hash are not read. Throws
/// Error(interrupted) when `cancel` is set.
std::vector<std::string> digest_violations(const build::Metadata& metadata,
                                           const std::filesystem::path& variant_folder,
                                           const std::map<std::string, std::string>& sha256 = {},
                                           const std::atomic<bool>* cancel = nullptr);

/// Throws Error(verification) where there are violations; `what` names the build.
void require_digest(const build::Metadata& metadata, const std::filesystem::path& variant_folder,
                    const std::string& what, const std::map<std::string, std::string>& sha256 = {},
                    const std::atomic<bool>* cancel = nullptr);

}  // namespace kernels::verify
