#include "unique_name.hpp"

#include <unistd.h>

#include <atomic>

namespace kernels {

std::string unique_name() {
    static std::atomic<unsigned> counter{0};
    return std::to_string(::getpid()) + "-" + std::to_string(counter++);
}

}  // namespace kernels
