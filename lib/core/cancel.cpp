#include "kernels/core/cancel.hpp"

#include "kernels/core/error.hpp"

namespace kernels {

bool is_cancelled(const std::atomic<bool>* cancel) noexcept {
    return cancel != nullptr && cancel->load();
}

void check_cancelled(const std::atomic<bool>* cancel) {
    if (is_cancelled(cancel)) throw Error(ErrorCode::interrupted, "interrupted", "run it again to go on");
}

}  // namespace kernels
