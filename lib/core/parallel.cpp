#include "kernels/core/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>

#include "kernels/core/log.hpp"

namespace kernels {

void run_parallel(std::size_t count, int workers, const std::function<void(std::size_t)>& work) {
    std::atomic<std::size_t> next{0};
    const auto take = [&] {
        for (std::size_t i = next++; i < count; i = next++)
            work(i);
    };
    const std::size_t wanted = std::min(count, static_cast<std::size_t>(std::max(1, workers)));
    std::vector<std::thread> threads;
    threads.reserve(wanted);
    try {
        for (std::size_t i = 1; i < wanted; ++i)
            threads.emplace_back(take);
    } catch (const std::system_error& error) {
        // A limit on processes or memory: those that there are do all the work.
        log::debug("no more threads can be started: " + std::string(error.what()));
    }
    take();
    for (auto& thread : threads)
        thread.join();
}

}  // namespace kernels
