// The user's wish to stop, as a signal handler sets it.
#pragma once

#include <atomic>

namespace kernels {

/// Whether the user stopped it; nullptr is never stopped.
bool is_cancelled(const std::atomic<bool>* cancel) noexcept;
/// Throws Error(interrupted) when the user stopped it.
void check_cancelled(const std::atomic<bool>* cancel);

}  // namespace kernels
