// What kernelizing keeps, so that it can be undone: the original of every method that it rewrites, as a
// method of the class. It is part of the model, so it survives copies, saving and loading.
#pragma once

#include <torch/script.h>

#include <string>

namespace kernels::torchscript {

/// Whether a method holds an original; not so a method of the model's own that has such a name.
bool is_original(const torch::jit::Function& method);

/// Throws Error(kernelize) when the class has a method of its own of the name that the original of `method`
/// gets.
void require_name_of_original(const torch::jit::Module& module, const std::string& method);

/// Keeps a method of the module's class, whose name must be free; call it before the method is changed. A
/// no-op when it is kept already.
void keep_original(const torch::jit::Module& module, const std::string& method);

/// Whether a method of the module's class is kept.
bool has_original(const torch::jit::Module& module, const std::string& method);

/// Whether a method of the module comes to one whose original is kept, itself or through what it calls.
bool calls_replaced(const torch::jit::Module& module, const std::string& method);

/// Gives the module's class its own methods back; false when none is kept. Throws Error(failed) when what is
/// kept belongs to no method.
bool restore_original_forward(const torch::jit::Module& module);

/// The same for all modules of the model.
bool restore_original_forwards(const torch::jit::Module& model);

/// Makes every method of the model anew from its graph. A function that has run keeps an optimized copy of
/// its graph with all that it calls, so without this a model that has run would not see changed forwards.
void renew_methods(const torch::jit::Module& model);

/// Removes all of them.
void remove_methods(const torch::jit::Module& model);

}  // namespace kernels::torchscript
