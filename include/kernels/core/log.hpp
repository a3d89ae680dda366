// Messages beside the result: warnings and the steps of `-v`. Libraries report through these and never print
// themselves; the application says where they go.
#pragma once

#include <functional>
#include <string>

namespace kernels::log {

enum class Level { debug, info, warning, notice };

/// Where messages go. The default writes nothing. Called from any thread, one call at a time.
using Sink = std::function<void(Level, const std::string&)>;

/// Replaces the process's sink; an empty one silences it.
void set_sink(Sink sink);

/// A sink that writes messages to stderr, from `least` on: `warning: text`, each once, a notice as it is.
Sink stderr_sink(Level least, bool colour);

void debug(const std::string& text);
void info(const std::string& text);
void warning(const std::string& text);
/// What has to be said even to those who want to hear of errors only: why nothing happens for a while.
void notice(const std::string& text);

}  // namespace kernels::log
