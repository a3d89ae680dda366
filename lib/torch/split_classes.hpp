// Giving instances of one class classes of their own.
#pragma once

#include <torch/script.h>

#include <map>
#include <string>

namespace kernels::torchscript {

/// Which group a module is in; a module without an entry is in the group of the empty name.
using ModuleGroups = std::map<const c10::ivalue::Object*, std::string>;

/// Changes the model so that no class has instances in several groups: the instances of one group keep the
/// class, those of every other get a copy of it, and so do the classes above that hold them, where they hold
/// different ones. A module that is held in two places stays one module. Does nothing where no class is in
/// several groups. Throws Error(kernelize), with the model unchanged, when a class cannot be copied.
void split_classes(torch::jit::Module& model, const ModuleGroups& groups);

}  // namespace kernels::torchscript
