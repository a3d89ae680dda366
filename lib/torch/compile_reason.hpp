// What TorchScript's compiler says of a kernel's function, in this project's words.
#pragma once

#include <string>

namespace kernels::torchscript {

/// `text`, the first paragraph of the compiler's message, or `text` itself where it says enough.
std::string in_our_words(const std::string& text);

}  // namespace kernels::torchscript
