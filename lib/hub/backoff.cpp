#include "backoff.hpp"

#include <algorithm>
#include <mutex>
#include <random>
#include <thread>

#include "kernels/core/cancel.hpp"
#include "kernels/core/log.hpp"

namespace kernels::hub {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds noticed_pause{3'000};  // users ask themselves why nothing happens

// Transfers that pause at the same time do so for one reason.
void tell(const std::string& text) {
    static std::mutex mutex;
    static std::chrono::steady_clock::time_point last;
    const std::lock_guard lock(mutex);
    const auto now = std::chrono::steady_clock::now();
    if (last.time_since_epoch().count() != 0 && now - last < std::chrono::seconds(1)) return;
    last = now;
    log::notice(text);
}

}  // namespace

void pause_before_retry(const Settings& settings, int attempt, const std::optional<milliseconds>& wanted,
                        const std::string& why) {
    milliseconds wait = wanted.value_or(settings.retry_delay * (1 << std::min(attempt, 10)));
    if (!wanted) {
        thread_local std::minstd_rand random(std::random_device{}());
        wait += milliseconds(random() % static_cast<unsigned long>(wait.count() / 2 + 1));
        wait = std::min(wait, longest_pause);
    }
    const std::string next = why + "; trying again in ";
    if (wait < noticed_pause) {
        log::info(next + std::to_string(wait.count()) + " ms");
    } else {
        tell(next + std::to_string((wait.count() + 500) / 1000) + " s");
    }
    const auto until = std::chrono::steady_clock::now() + wait;
    while (std::chrono::steady_clock::now() < until) {
        check_cancelled(settings.cancel);
        std::this_thread::sleep_for(
            std::min<std::chrono::nanoseconds>(milliseconds(100), until - std::chrono::steady_clock::now()));
    }
}

}  // namespace kernels::hub
