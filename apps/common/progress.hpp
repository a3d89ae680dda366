// Progress of downloads on stderr.
#pragma once

#include <memory>

#include "common/program.hpp"
#include "kernels/hub/fetch.hpp"

namespace kernels::app {

/// A bar with bytes, rate and time left on a terminal, a line for each finished file elsewhere; without
/// progress it only says for whom a download waits (nothing with --quiet).
std::unique_ptr<hub::Monitor> make_progress(const Context& context);

}  // namespace kernels::app
