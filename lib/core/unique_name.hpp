// Names that nothing else gives at the same time.
#pragma once

#include <string>
#include <string_view>

namespace kernels {

/// "PID-RANDOM-N": another one with each call, of any thread of this process and of other processes, wherever
/// they run.
std::string unique_name();

/// A file's name of that kind while it is made: ".kernels-PID-RANDOM-N.incomplete".
std::string unfinished_name();
/// Whether it is one, which a process that was killed may have left.
bool is_unfinished(std::string_view name);

}  // namespace kernels
