// Which builds of a locked kernel a download takes.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "kernels/build/metadata.hpp"
#include "kernels/lock/download.hpp"

namespace kernels::lock {

struct ChosenBuild {
    build::BuildVariant variant;
    /// The machines that it was chosen for; empty when every build is taken.
    std::vector<build::Target> targets;
    /// Those of them for whose device nothing tells before the download whether the build has code.
    std::vector<build::Target> unknown;
    /// What is to be told of a build that is here already and fits their devices (build::DeviceFit::caution).
    build::DeviceFit fit = {};
};

/// "org/name@0123456789ab", as messages name a locked kernel.
std::string name_of(const LockedKernel& kernel);

struct Choice {
    std::vector<ChosenBuild> builds;
    /// An Error(no_build) for each target that no build fits: each build with the reason, nearest first, and
    /// what would help, other versions of the kernel included.
    std::vector<Error> failures;
};

/// The build that fits each target, or all of them. Where a target names its device, what the metadata of its
/// build says about devices is asked for first, so that a build without code for it is never downloaded.
Choice choose_builds(const LockedKernel& kernel, const hub::Tree& tree, const DownloadOptions& options,
                     const hub::Hub& hub);

/// Whether the lock has the kernel that this one sends to, whose builds are then the ones to use. Warns where
/// only the redirect is there.
bool has_moved(const LockedKernel& kernel, const Lock& lock, const hub::Hub& hub);

/// The kernels of a lock that the project needs when redirects are followed; what is not among them is there
/// for the Python client alone, as the builds that a kernel left behind need it. All, where the metadata or
/// DownloadOptions::direct do not tell.
std::set<Dependency> needed_natively(const Lock& lock, const DownloadOptions& options, const hub::Hub& hub);

/// Of a kernel that has moved, whose builds are taken from its new place: those that fit by their names come
/// along, as the Python client knows no redirect and would look for them. There may be none.
Choice builds_left_behind(const hub::Tree& tree, const std::string& what, const DownloadOptions& options);

/// The same question for a build that is here: its libraries are asked where its metadata is silent. An
/// Error(no_build) for each of the targets for whose device they hold no code.
std::vector<Error> without_device_code(const LockedKernel& kernel, const ChosenBuild& chosen,
                                       const build::Metadata& metadata, const std::filesystem::path& folder,
                                       const BeforeFetch& before_fetch, const hub::Hub& hub);

/// Whether the file is on this machine, so that bringing it asks the Hub for nothing.
bool is_at_hand(const hub::FileRequest& file, const hub::Hub& hub);

/// Calls `before_fetch` unless hub::Hub::small_file can give the file without the Hub.
void ask_for_file(const RepoId& repo, const Commit& commit, const std::string& path,
                  const BeforeFetch& before_fetch, const hub::Hub& hub);

}  // namespace kernels::lock
