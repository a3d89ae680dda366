// Making a project's kernels.lock and kernels.sum, for the commands that change them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/program.hpp"
#include "kernels/core/file_lock.hpp"
#include "kernels/lock/lock_file.hpp"
#include "kernels/lock/resolve.hpp"
#include "kernels/project/project.hpp"

namespace kernels::app {

/// Held while a command reads a project, asks the Hub and writes what came of it: of two at once the second
/// one starts from what the first one wrote. `folder` is where the project is looked for.
std::unique_ptr<FileLock> hold_project(const Context& context, const std::filesystem::path& folder);

/// What the two files hold and what they shall hold; nothing has been written.
struct LockPlan {
    std::filesystem::path file;
    std::filesystem::path sum_file;
    std::string bytes;                ///< of kernels.lock
    std::optional<std::string> sums;  ///< of kernels.sum; nothing when it is not wanted
    std::string sums_of_both;         ///< with the lines of the locked builds that go
    lock::Lock lock;
    std::vector<lock::Conflict> conflicts;
    std::vector<std::string> changes;      ///< for people, a line each
    std::vector<std::string> sum_changes;  ///< the same of kernels.sum, with Present::complete
    bool differs = false;
    bool sums_differ = false;
    bool drops_sums = false;  ///< --no-sum, and there is a file

    /// Writes what differs. Where it ends in the middle, lock and sums still fit.
    void write() const;
};

/// What a command needs of the kernels.lock and kernels.sum that are there.
enum class Present {
    complete,  ///< a lock, and sums only where there are some: to compare with
    readable,  ///< or absent: entries that stay are taken from it
    anything,  ///< what cannot be read is written anew, with a warning
};

/// Resolves the project's dependencies. `keep` picks the entries of the present lock that may stay as they
/// are. With --target or --torch every locked kernel must have a build for them. Options: --no-sum (the
/// present sums are then not looked at), --target, --torch.
LockPlan plan_lock(const Context& context, const project::Project& project,
                   const std::function<lock::Lock(const lock::Lock&)>& keep, const hub::Hub& hub,
                   Present present);

/// For commands that tell what is newest: offline they know what the cache last saw, no more.
void warn_of_offline();

/// Prints the outcome: a line a change, or one document with `more` in it.
void report_lock(const Context& context, const LockPlan& plan, const nlohmann::ordered_json& more = {});

}  // namespace kernels::app
