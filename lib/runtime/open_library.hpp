// Opening a kernel's shared library in a process without Python.
#pragma once

#include <stdexcept>
#include <string>

namespace kernels::runtime {

/// Maps the library and runs its initializers, which register its operators. Throws std::runtime_error with
/// one line, "PATH: the kernel library cannot be loaded: why", whatever is wrong with it; asked again it says
/// the same. After an initializer threw, other threads of the process cannot load libraries any more.
void open_library(const std::string& library);

/// What an exception says, in one line and without libtorch's backtrace.
std::string one_line(const std::exception& failure);

}  // namespace kernels::runtime
