// A layer of a kernel that no test looks into.
#pragma once

#include <string>

#include "kernels/layer/repository.hpp"

namespace kernels::layer::testing {

inline LayerRepository repository(const std::string& name) {
    return {"a/k", name, KernelVersion{1}};
}

}  // namespace kernels::layer::testing
