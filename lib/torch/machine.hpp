// The device and the machine that a model is made for.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "kernels/build/target.hpp"
#include "kernels/layer/device.hpp"
#include "kernels/torch/kernelize.hpp"

namespace kernels::torchscript {

/// What builds are chosen for.
struct Machine {
    build::Target target;
    bool is_named = false;  ///< by options, or for a device that is not here; otherwise it is this machine
};

/// The device named in the options, else the target's, else the one of all parameters. Throws Error(usage)
/// when there are none, or when they are on several.
layer::Device device_of(const std::vector<at::Tensor>& parameters, const KernelizeOptions& options);

/// The options' target, else this machine with the torch of this process, or the torch that the options name.
/// A device that this torch does not have is possible where its builds have no version. Throws Error(usage)
/// for others, and for a target that is for another device.
Machine machine_for(const layer::Device& device, const KernelizeOptions& options);

}  // namespace kernels::torchscript
