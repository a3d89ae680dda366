// Pauses between attempts.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "kernels/hub/settings.hpp"

namespace kernels::hub {

/// No pause is longer, whoever asks for it.
constexpr std::chrono::milliseconds longest_pause{60'000};

/// Sleeps before attempt `attempt + 1`: settings.retry_delay, doubled with each attempt, plus up to half of
/// it by chance, or exactly `wanted`. `why` is logged, before a long pause as a notice. A cancel ends it
/// with Error(interrupted).
void pause_before_retry(const Settings& settings, int attempt,
                        const std::optional<std::chrono::milliseconds>& wanted, const std::string& why);

}  // namespace kernels::hub
