// The builds of locked kernels as a plain directory tree, for images and archives.
#pragma once

#include <filesystem>

#include "kernels/lock/download.hpp"

namespace kernels::lock {

/// As download(), but into `folder/org/name/build/<variant>/` with plain files and nothing else, so that
/// `LOCAL_KERNELS=org/name=folder/org/name` finds them. The cache of `hub` is only read: what it (or the tree
/// itself) holds is copied after its hash was checked, the rest is downloaded. A build appears under its name
/// when all of it is there; one that was there before is replaced as a whole.
///
/// What is not finished stays in `folder/.kernels-download`, where the next run goes on; it is removed at the
/// end. Processes that write to the same folder wait for each other, as on the cache. Throws Error(failed)
/// when `folder` cannot be written.
DownloadResult download_into(const std::filesystem::path& folder, const Lock& lock,
                             const DownloadOptions& options, const hub::Hub& hub,
                             hub::Monitor* monitor = nullptr);

}  // namespace kernels::lock
