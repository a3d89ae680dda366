// What the tests of kernelizing share.
#pragma once

#include <string>

#include "checking.hpp"
#include "kernels/torch/kernelize.hpp"
#include "local_kernel.hpp"

namespace kernels::testing {

inline torchscript::KernelizeOptions options_with(const layer::KernelMapping& mapping,
                                                  layer::Mode mode = layer::Mode::inference) {
    torchscript::KernelizeOptions options{.mode = mode};
    options.mapping = mapping;
    options.target = build::Target::parse("torch=2.13,cpu,cpu=x86_64,os=linux");
    return options;
}

}  // namespace kernels::testing
