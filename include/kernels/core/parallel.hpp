// Several things at the same time, with a bound on how many.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <vector>

namespace kernels {

/// Calls work(0) … work(count - 1), at most `workers` of them at a time (this thread is one; where the system
/// gives fewer threads, so many); returns when all have ended. `work` must not throw.
void run_parallel(std::size_t count, int workers, const std::function<void(std::size_t)>& work);

/// What one of several calls gave, or threw.
template <typename Value>
class Outcome {
  public:
    /// The value, once; throws what the call threw.
    Value get() {
        if (m_error) std::rethrow_exception(m_error);
        return std::move(*m_value);
    }

  private:
    template <typename Look>
    friend auto look_parallel(std::size_t count, int workers, const Look& look);

    std::optional<Value> m_value;
    std::exception_ptr m_error;
};

/// As run_parallel, for calls that give a value or throw; the outcomes are in order.
template <typename Look>
auto look_parallel(std::size_t count, int workers, const Look& look) {
    std::vector<Outcome<std::invoke_result_t<const Look&, std::size_t>>> outcomes(count);
    run_parallel(count, workers, [&](std::size_t i) {
        try {
            outcomes[i].m_value.emplace(look(i));
        } catch (...) {
            outcomes[i].m_error = std::current_exception();
        }
    });
    return outcomes;
}

}  // namespace kernels
