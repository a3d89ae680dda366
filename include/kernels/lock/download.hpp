// The builds of locked kernels into the cache.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/build/build_variant.hpp"
#include "kernels/build/device_fit.hpp"
#include "kernels/build/suggestion.hpp"
#include "kernels/build/target.hpp"
#include "kernels/core/error.hpp"
#include "kernels/hub/fetch.hpp"
#include "kernels/hub/hub.hpp"
#include "kernels/lock/lock_file.hpp"

namespace kernels::lock {

class SumFile;

/// Called before anything of a repository is fetched, and not for what the cache holds; it throws to refuse
/// the repository (see require_trusted). May be called from several threads at once.
using BeforeFetch = std::function<void(const RepoId&)>;

struct DownloadOptions {
    /// The machines to download for; ignored with all_variants.
    std::vector<build::Target> targets;
    bool all_variants = false;
    /// Refuse a build without code for the device that a target names (see build::device_fit).
    bool check_device = true;
    /// What the project itself names. Empty where that is not known, or with something that is not locked:
    /// all that is locked is needed then.
    std::vector<Dependency> direct;
    /// What kernels.sum says, checked before a file is fetched; nullptr for projects without one.
    const SumFile* sums = nullptr;
    BeforeFetch before_fetch;
};

struct DownloadedBuild {
    LockedKernel kernel;
    build::BuildVariant variant;
    std::filesystem::path folder;
    std::vector<hub::FetchedFile> files;
    std::vector<build::Remark> remarks;  ///< for the caller to tell: download() only gives them
    bool was_left_behind = false;        ///< its kernel has moved (see download)

    /// "org/name@0123456789ab: torch-cpu", as messages name it.
    std::string describe() const;
};

struct DownloadResult {
    std::vector<DownloadedBuild> builds;
    /// Kernels that could not be downloaded, once for each target without a usable build; the others were.
    std::vector<std::pair<LockedKernel, Error>> failures;
    /// Some file did not arrive, so that the next run has something to go on with.
    bool is_partial = false;
};

/// The kernels of a lock that somebody needs who follows redirects: without those that have moved, and
/// without what only the builds need that these left behind. Fetches listings, and where a kernel has moved
/// metadata. Throws Error(failed) for redirects that lead back to each other, and what hub::Hub does where it
/// cannot be told what is needed.
std::vector<LockedKernel> needed_kernels(const Lock& lock, const DownloadOptions& options,
                                         const hub::Hub& hub);

/// Downloads, for every locked kernel, the build that fits each target (or all builds). What is complete
/// costs no request. Every file is checked against the hash in the commit's tree, every build against the
/// digest of its metadata.json, and against the device where the target names one. What is not in
/// needed_kernels() comes along for the Python client, which follows no redirect: where it does not fit, was
/// published wrongly, or is gone, that is no failure. Before a kernel fails for
/// what the cache lists as its files, the Hub is asked for the list once more. Afterwards the Python client
/// finds the kernels offline, by version and by commit.
DownloadResult download(const Lock& lock, const DownloadOptions& options, const hub::Hub& hub,
                        hub::Monitor* monitor = nullptr);

/// The same for some of the lock's kernels. What the others say of who needs what is read through `asked`.
DownloadResult download(const Lock& lock, const std::vector<LockedKernel>& kernels,
                        const DownloadOptions& options, const hub::Hub& hub, const hub::Hub& asked,
                        hub::Monitor* monitor = nullptr);

/// For every locked kernel and target without a build that fits (or without code for the target's device, as
/// its metadata says, or its libraries where they are in the cache): the error that download() would give.
/// `direct` is as in DownloadOptions. Nothing but listings and metadata is fetched. Where neither tells of a
/// device that a target names, a warning says so.
std::vector<Error> missing_builds(const Lock& lock, const std::vector<build::Target>& targets,
                                  bool check_device, const std::vector<Dependency>& direct,
                                  const hub::Hub& hub);

/// Asks the builds of a commit how they fit a device, without downloading them: their metadata, which is
/// fetched, and their libraries as far as the cache has them. A build without metadata states nothing. `hub`
/// must outlive it. It throws what Hub::small_file and Metadata::parse do.
build::DeviceFitOf fit_without_download(const RepoId& repo, const Commit& commit, const hub::Hub& hub,
                                        const BeforeFetch& before_fetch = {});

/// The versions of a kernel but the one at `commit`, newest first, for build::suggest. They only serve a
/// suggestion, so a Hub that does not answer or may not be asked, and a publisher that `before_fetch`
/// refuses, cost the suggestion and nothing else: none is given, and why is logged. `hub` must outlive them.
std::vector<build::OtherVersion> other_versions(const RepoId& repo, const Commit& commit, bool check_device,
                                                const hub::Hub& hub, const BeforeFetch& before_fetch = {});

/// The hash that lock files before 0.17 keep of a build: SHA-256 over path and raw hash of each of its files,
/// by path.
std::string legacy_variant_hash(const hub::Tree& tree, const build::BuildVariant& variant);

/// Compares the files of a build with the hash that a lock file before 0.17 keeps of it, if it keeps one.
/// Throws Error(verification) that names the kernel and the build.
void require_legacy_hash(const LockedKernel& kernel, const build::BuildVariant& variant,
                         const hub::Tree& tree);

/// Whether a path names Python bytecode, which is never part of a build.
bool is_bytecode(const std::string& path);

/// The build variants that a commit's tree holds; folders with other names are warned about.
std::vector<build::BuildVariant> variants_of(const hub::Tree& tree, const std::string& what);

}  // namespace kernels::lock
