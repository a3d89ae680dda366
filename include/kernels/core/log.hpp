// Messages beside the result: warnings and the steps of `-v`. Libraries report through these and never print
// themselves; the application says where they go.
#pragma once

#include <functional>
#include <string>

namespace kernels::log {

enum class Level { debug, info, warning };

/// Where messages go. The default writes nothing. Called from any thread, one call at a time.
using Sink = std::function<void(Level, const std::string&)>;

/// Replaces the process's sink; an empty one silences it.
void set_sink(Sink sink);

/// A sink that writes `warning: text` and, from `least` on, the lower levels to stderr.
Sink stderr_sink(Level least, bool colour);

void debug(const std::string& text);
void info(const std::string& text);
void warning(const std::string& text);

}  // namespace kernels::log
