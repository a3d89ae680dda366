// Errors of several kernels, told without saying the same thing twice.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "kernels/core/error.hpp"
#include "kernels/core/reference.hpp"

namespace kernels::lock {

struct Failure {
    std::vector<Dependency> kernels;  ///< that failed in this way
    Error error;                      ///< whose message names them
};

/// One failure for all kernels that failed in the same words, as with a host that is down; in the order of
/// the first of each. A message that does not name its kernel gets the names of all: "org/a@v1, org/b@v2:
/// cannot reach …".
std::vector<Failure> grouped(std::span<const std::pair<Dependency, Error>> failures);

}  // namespace kernels::lock
