// What TorchScript's compiler says of a kernel's function, in this project's words.
#pragma once

#include <string>

namespace kernels::torchscript {

/// The reason in the compiler's message, a page of which the first paragraph says it, as one line without the
/// place.
std::string compile_reason(const std::string& message);

}  // namespace kernels::torchscript
