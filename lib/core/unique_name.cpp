#include "unique_name.hpp"

#include <unistd.h>

#include <atomic>
#include <random>

namespace kernels {
namespace {

constexpr std::string_view unfinished_start = ".kernels-";
constexpr std::string_view unfinished_end = ".incomplete";

}  // namespace

std::string unique_name() {
    // Processes in two containers, or on two machines, may have one number and one cache.
    static const std::string own = std::to_string(::getpid()) + "-" + std::to_string(std::random_device()());
    static std::atomic<unsigned> counter{0};
    return own + "-" + std::to_string(counter++);
}

std::string unfinished_name() {
    return std::string(unfinished_start) + unique_name() + std::string(unfinished_end);
}

bool is_unfinished(std::string_view name) {
    return name.starts_with(unfinished_start) && name.ends_with(unfinished_end);
}

}  // namespace kernels
