// Which process of which machine something belongs to.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace kernels {

/// The machine's name; empty when it has none.
std::string host_name();

/// The number of a process that `text` is; nothing for any other text.
std::optional<int> process_number(std::string_view text);

/// No process of this machine has the number `pid`.
bool is_gone(int pid);

}  // namespace kernels
