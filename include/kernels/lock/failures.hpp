// Errors of several kernels, told without saying the same thing twice.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "kernels/core/error.hpp"
#include "kernels/core/reference.hpp"
#include "kernels/hub/hub.hpp"
#include "kernels/lock/lock_file.hpp"

namespace kernels::lock {

struct Failure {
    std::vector<Dependency> kernels;  ///< that failed in this way
    Error error;                      ///< whose message names them
};

/// One failure for all kernels that failed in the same words, as with a host that is down; in the order of
/// the first of each. A message that does not name its kernel gets the names of all: "org/a@v1, org/b@v2:
/// cannot reach …".
std::vector<Failure> grouped(std::span<const std::pair<Dependency, Error>> failures);

/// What went wrong with a locked kernel, where the reason is that the Hub no longer has the commit (a
/// publisher may rewrite a branch): then the error says so, and the hint how to lock another one. Any other
/// error is given back as it is. Only for Error(not_found) the Hub is asked.
Error explained(const Error& error, const LockedKernel& kernel, const hub::Hub& hub);

/// Whether what somebody published is at fault, and not the network or this machine.
bool is_flaw(const Error& error);

/// Whether it is the cache that cannot be written.
bool blames_cache(const Error& error);

}  // namespace kernels::lock
