// The commands of `kernels-torch`, one file each.
#pragma once

#include "common/program.hpp"

namespace kernels::app {

int run_kernelize(const Context& context);
int run_inspect(const Context& context);
int run_run(const Context& context);

}  // namespace kernels::app
