// Which builds of a locked kernel a download takes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernels/build/metadata.hpp"
#include "kernels/build/selection.hpp"
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

/// A target without a usable build.
struct Lack {
    std::optional<build::Target> target;  ///< none where every build is wanted and there is not one
    build::Selection selection;
    bool of_code = false;  ///< the preferred build has no code for the target's device
    /// How the other builds fit the device, as far as that is known; empty where no device is asked about.
    build::DeviceFitOf fit_of;
};

struct Choice {
    std::vector<ChosenBuild> builds;
    std::vector<Lack> lacks;
};

/// The build that fits each target, or all of them. Where a target names its device, what the metadata of its
/// build says about devices is asked for first, so that a build without code for it is never downloaded.
Choice choose_builds(const LockedKernel& kernel, const hub::Tree& tree, const DownloadOptions& options,
                     const hub::Hub& hub);

/// The Error(no_build) for a lack: each build with the reason, nearest first, and what would help, other
/// versions of the kernel included, for which the Hub is asked.
Error no_build(const LockedKernel& kernel, const Lack& lack, const DownloadOptions& options,
               const hub::Hub& hub);

/// The builds that fit a target by their names, or all of them; there may be none. For what nobody needs here
/// (see Spares), and is there for the Python client.
Choice builds_that_fit(const hub::Tree& tree, const std::string& what, const DownloadOptions& options);

/// The same question for a build that is here: its libraries are asked where its metadata is silent. A lack
/// for each of the targets for whose device they hold no code.
std::vector<Lack> without_device_code(const LockedKernel& kernel, const ChosenBuild& chosen,
                                      const build::Metadata& metadata, const std::filesystem::path& folder,
                                      const BeforeFetch& before_fetch, const hub::Hub& hub);

/// Whether the file is on this machine, so that bringing it asks the Hub for nothing.
bool is_at_hand(const hub::FileRequest& file, const hub::Hub& hub);

/// Calls `before_fetch` unless hub::Hub::small_file can give the file without the Hub.
void ask_for_file(const RepoId& repo, const Commit& commit, const std::string& path,
                  const BeforeFetch& before_fetch, const hub::Hub& hub);

/// What metadata.json says of a build of the commit; nothing for a build without one. Its publisher is asked
/// about before it is fetched. Throws what Hub::small_file and Metadata::parse do.
std::optional<build::Metadata> asked_metadata(const RepoId& repo, const Commit& commit,
                                              const std::string& variant, const BeforeFetch& before_fetch,
                                              const hub::Hub& hub);

}  // namespace kernels::lock
