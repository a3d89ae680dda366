// Progress of downloads on stderr.
#pragma once

#include <memory>

#include "common/program.hpp"
#include "kernels/hub/fetch.hpp"

namespace kernels::app {

/// On a terminal a bar for each file and one for all, with bytes, rate and time left; a line for each
/// finished file elsewhere; without progress it only says for whom a download waits (nothing with --quiet).
std::unique_ptr<hub::Monitor> make_progress(const Context& context);

}  // namespace kernels::app
