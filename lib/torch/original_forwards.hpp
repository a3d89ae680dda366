// What kernelizing keeps, so that it can be undone: the original forward of every class that it rewrites, as
// a method of the class. It is part of the model, so it survives copies, saving and loading.
#pragma once

#include <torch/script.h>

#include <string>

namespace kernels::torchscript {

/// The method that holds the original.
inline constexpr const char* original_method = "kernels_original_forward";

/// Keeps the forward of the module's class; call it before the class's forward is changed. A no-op when one
/// is kept already.
void keep_original_forward(const torch::jit::Module& module);

/// Gives the module's class its own forward back; false when none is kept.
bool restore_original_forward(const torch::jit::Module& module);

/// The same for all modules of the model.
bool restore_original_forwards(const torch::jit::Module& model);

/// Makes every method of the model anew from its graph. A function that has run keeps an optimized copy of
/// its graph with all that it calls, so without this a model that has run would not see changed forwards.
void renew_methods(const torch::jit::Module& model);

}  // namespace kernels::torchscript
