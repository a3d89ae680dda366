#include "machine.hpp"

#include <ATen/Context.h>
#include <dlfcn.h>
#include <torch/version.h>

#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "kernels/core/error.hpp"

namespace kernels::torchscript {
namespace {

// The names that mappings and build variants have for the same device.
std::string backend_of(const std::string& device) {
    if (device == "mps") return "metal";
    return device == "npu" ? "cann" : device;
}

// torch for ROCm calls its devices cuda.
std::string mapped_name(c10::DeviceType type) {
    if (type == c10::DeviceType::CUDA && at::globalContext().hasROCM()) return "rocm";
    return c10::DeviceTypeName(type, true);
}

// The torch whose library this process has loaded; nothing where its folder does not tell.
std::optional<build::TorchInstallation> own_torch() {
    Dl_info file{};
    if (::dladdr(reinterpret_cast<void*>(&at::globalContext), &file) == 0 || file.dli_fname == nullptr)
        return std::nullopt;
    std::error_code error;
    auto folder = std::filesystem::canonical(file.dli_fname, error);
    while (!error && folder.has_relative_path()) {
        folder = folder.parent_path();
        if (auto torch = build::read_torch(folder)) return torch;
    }
    return std::nullopt;
}

// This machine with the torch of this process, whichever torch its environment has, unless one is named.
build::Target this_machine(const build::DetectOptions& options) {
    if (options.torch) return build::detect(options).target;
    const auto own = own_torch();
    auto of_any = options;
    of_any.backend_is_named = options.backend_is_named || own;  // what another one computes on is no matter
    const auto found = build::detect(of_any);
    build::Target target = found.target;
    if (own &&
        (!found.torch || found.torch->folder != own->folder || !found.torch->backend_unknown.empty())) {
        auto of_own = options;
        of_own.torch = own->folder.string();
        of_own.torch_origin = "the torch of this process";
        target = build::detect(of_own).target;
    }
    target.torch = Version::parse(TORCH_VERSION);
    if (target.os == "linux") target.cxx11_abi = true;
    return target;
}

// A device's version is a part of the names of builds, and only a torch for the device tells it.
build::Target foreign_target(const std::string& device, const build::Target& here) {
    const std::string torch = "torch=" + here.torch->to_string();
    if (device == "mps") return build::Target::parse(torch + ",metal,macos=26.0");
    if (device == "neuron" || device == "tpu") return build::Target::parse(torch + "," + device, here);
    const std::string backend = backend_of(device);
    const std::string version = backend == "cuda"   ? "12.8"
                                : backend == "rocm" ? "6.4"
                                : backend == "xpu"  ? "2025.2"
                                                    : "8.3";
    throw Error(ErrorCode::usage,
                "the device " + device + ": the torch of this process computes on " +
                    std::string(here.backend.name()) + ", so the version of " + backend + " is not known",
                "name it by a target: " + torch + "," + backend + "=" + version + ",cpu=" + here.cpu +
                    ",os=" + here.os)
        .with_remedies({Remedy::target});
}

}  // namespace

KernelizeDevice::KernelizeDevice(const torch::Device& device)
    : std::optional<layer::Device>(mapped_name(device.type())) {}

layer::Device device_of(const std::vector<at::Tensor>& parameters, const KernelizeOptions& options) {
    if (options.device) {
        if (!options.device->has_properties()) return *options.device;
        throw Error(ErrorCode::usage,
                    "the device " + options.device->to_string() +
                        ": properties are for the entries of a mapping, and not for a model",
                    "name " + options.device->type() +
                        " alone; its capability is the machine's, or that of a target");
    }
    if (options.target) return layer::device_type_of(*options.target);
    std::set<std::string> names;
    for (const auto& parameter : parameters) {
        if (parameter.defined()) names.insert(mapped_name(parameter.device().type()));
    }
    if (names.size() != 1) {
        std::string list;
        for (const auto& name : names)
            list += (list.empty() ? "" : " and ") + name;
        throw Error(ErrorCode::usage,
                    names.empty() ? "the model has no parameters that would tell its device"
                                  : "the model's parameters are on several devices: " + list,
                    "name the device")
            .with_remedies({Remedy::device});
    }
    return *names.begin();
}

Machine machine_for(const layer::Device& device, const KernelizeOptions& options) {
    if (options.target) {
        if (const auto type = layer::device_type_of(*options.target); type != device.type()) {
            throw Error(ErrorCode::usage, "the device " + device.type() + ": the target " +
                                              options.target->to_string() + " is for " + type);
        }
        return {*options.target, true};
    }
    auto detect = options.detect;
    if (device.type() == "cpu") detect.backend_is_named = true;  // each torch has that one
    Machine machine{this_machine(detect), options.detect.torch.has_value()};
    build::Target& target = machine.target;
    if (device.type() == "cpu") {
        target.backend = build::Backend{};
        target.capability.reset();
        target.gpu_arch.reset();
    } else if (backend_of(device.type()) != target.backend.name()) {
        target = foreign_target(device.type(), target);
        machine.is_named = true;
    }
    return machine;
}

}  // namespace kernels::torchscript
