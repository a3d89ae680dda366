#include "kernels/torch/kernelize.hpp"

#include <torch/version.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>

#include "commands.hpp"
#include "kernels/build/environment.hpp"
#include "kernels/core/text.hpp"
#include "kernels/layer/resolve.hpp"
#include "kernels/layer/selection.hpp"
#include "kernels/torch/model.hpp"
#include "verification.hpp"

namespace kernels::app {
namespace {

namespace fs = std::filesystem;

// --layer NAME=REPO[@REF]:LAYER; without REF it is locked by the project. What the project maps gives way.
void map_layer_option(const std::string& text, const std::string& device,
                      const std::shared_ptr<const lock::Lock>& lock, const project::TrustPolicy& trust,
                      layer::KernelMapping& mapping) {
    const auto equals = text.find('=');
    const auto colon = text.rfind(':');
    if (equals == std::string::npos || colon == std::string::npos || colon < equals || equals == 0) {
        throw Error(ErrorCode::usage,
                    "--layer " + backquoted(text) + ": not of the form NAME=REPO[@REF]:LAYER");
    }
    const std::string name = text.substr(0, equals);
    const std::string source = text.substr(equals + 1, colon - equals - 1);
    const std::string hub_layer = text.substr(colon + 1);
    const auto at = source.find('@');
    const RepoId repo = RepoId::parse(source.substr(0, at));
    mapping.erase(name, device);
    if (at == std::string::npos) {
        mapping.set(name, device, layer::LockedLayerRepository(repo, hub_layer, lock, trust));
    } else {
        mapping.set(name, device,
                    layer::LayerRepository(repo, hub_layer, Reference::parse(source.substr(at + 1)), trust));
    }
}

// --bind NAME=CLASS_GLOB
project::Binding parse_bind_option(const std::string& text) {
    const auto equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
        throw Error(ErrorCode::usage, "--bind " + backquoted(text) + ": not of the form NAME=CLASS_GLOB");
    }
    return {text.substr(0, equals), text.substr(equals + 1), std::nullopt, {}, {"--bind", 0, text}};
}

std::string device_of(const torch::jit::Module& module, const std::optional<std::string>& named) {
    if (named) {
        try {
            return layer::Device(*named).type();
        } catch (const Error& error) {
            throw Error(error.code(), std::string("--device: ") + error.what(), error.hint());
        }
    }
    std::set<std::string> devices;
    for (const auto& parameter : module.parameters())
        devices.insert(c10::DeviceTypeName(parameter.device().type(), true));
    if (devices.size() != 1) {
        throw Error(ErrorCode::usage,
                    devices.empty() ? "the model has no parameters that would tell its device"
                                    : "the model's parameters are on several devices",
                    "name the device with --device");
    }
    return *devices.begin();
}

// The target of this process: the libtorch that it is linked with decides, for the CPU in any of its builds.
build::Target target_for(const std::string& device, const Context& context) {
    build::Target target = build::detect({context.arguments.value("--torch"),
                                          context.arguments.value("--project").value_or(".")})
                               .target;
    target.torch = Version::parse(TORCH_VERSION);
    if (target.os == "linux") target.cxx11_abi = true;
    if (device == "cpu") {
        target.backend = build::Backend{};
        return target;
    }
    const std::string backend = device == "mps" ? "metal" : device == "npu" ? "cann" : device;
    if (backend != target.backend.name()) {
        throw Error(
            ErrorCode::usage,
            "--device " + device + ": the torch here computes on " + std::string(target.backend.name()),
            "use a kernels-torch that is built with a libtorch for " + device);
    }
    return target;
}

layer::KernelizeFallback parse_fallback(const Arguments& arguments) {
    return layer::KernelizeFallback::parse(arguments.value("--use-fallback").value_or("default"));
}

torchscript::KernelizeOptions make_plan(const Context& context, const torch::jit::Module& module) {
    const Arguments& arguments = context.arguments;
    torchscript::KernelizeOptions plan;
    plan.device = device_of(module, arguments.value("--device"));
    const auto mode = layer::Mode::parse(arguments.value("--mode").value_or("inference"));
    mode.require_use();
    plan.mode = mode.to_string();
    const bool self_contained = !arguments.values("--layer").empty() && !arguments.has("--project");
    const std::string folder = arguments.value("--project").value_or(".");
    project::Project project;
    if (auto found = project::find(folder)) {
        project = std::move(*found);
    } else if (!self_contained) {
        project = project::load(folder);  // says what is missing
    }
    for (const auto& text : arguments.values("--bind"))
        plan.bindings.push_back(parse_bind_option(text));
    plan.bindings.insert(plan.bindings.end(), project.bindings.begin(), project.bindings.end());
    std::shared_ptr<const lock::Lock> locked;
    std::error_code error;
    if (!project.folder.empty() && fs::exists(project.lock_file(), error))
        locked = std::make_shared<const lock::Lock>(lock::Lock::load(project.lock_file()));
    auto mapping = layer::mapping_of(project, locked);
    for (const auto& text : arguments.values("--layer"))
        map_layer_option(text, plan.device, locked, project.trust, mapping);
    if (mapping.empty()) {
        throw Error(ErrorCode::project_file, project.file.string() + ": no layer is mapped to a kernel",
                    "add a [[layers]] entry, or --layer NAME=REPO:LAYER");
    }

    const hub::Cache cache(context.settings().cache);
    const auto target = target_for(plan.device, context);
    const auto fallback = parse_fallback(arguments);
    const auto device_check =
        arguments.has("--no-device-check") ? layer::DeviceCheck::no : layer::DeviceCheck::yes;
    for (const auto& name : mapping.layer_names()) {
        const auto selection = layer::select(mapping, name, plan.device, target.capability, mode);
        if (!selection) {
            plan.without_kernel[name] = selection.why;
            continue;
        }
        const auto& repository = selection.chosen->repository;
        if (layer::is_function(repository)) {
            plan.without_kernel[name] = "functions (func = …) cannot be called from TorchScript models yet";
            continue;
        }
        try {
            const auto kernel = layer::resolve(repository, target, cache, device_check);
            plan.kernels.push_back({name, layer::member_name(repository), kernel.repo, kernel.commit,
                                    kernel.variant, kernel.folder, kernel.id});
        } catch (const Error& failure) {
            if (!fallback.covers(layer::NoKernel::cannot_load)) throw;
            plan.without_kernel[name] = failure.what();
        }
    }
    return plan;
}

void print_rows(const runtime::Manifest& manifest, const Context& context) {
    std::size_t module_width = 6;
    std::size_t layer_width = 5;
    for (const auto& row : manifest.layers) {
        module_width = std::max(module_width, row.module.size());
        layer_width = std::max(layer_width, row.layer.size());
    }
    std::size_t replaced = 0;
    for (const auto& row : manifest.layers) {
        const bool done = row.status == "replaced";
        replaced += done ? 1 : 0;
        const std::string kernel =
            row.repo.empty() ? "-" : row.repo + (row.commit.empty() ? "" : "@" + row.commit.substr(0, 12));
        std::printf("%-*s  %-*s  %s  %s  %s\n", static_cast<int>(module_width), row.module.c_str(),
                    static_cast<int>(layer_width), row.layer.c_str(), kernel.c_str(),
                    row.variant.empty() ? "-" : row.variant.c_str(),
                    done ? bold("replaced", context.colour_out).c_str() : ("kept: " + row.reason).c_str());
    }
    std::printf("replaced %zu of %zu layers\n", replaced, manifest.layers.size());
}

}  // namespace

int run_kernelize(const Context& context) {
    const Arguments& arguments = context.arguments;
    const fs::path path = arguments.positional().front();
    fs::path output = path.parent_path() / (path.stem().string() + ".kernelized.pt");
    if (const auto named = arguments.value("--output")) output = *named;
    std::error_code error;
    if (fs::equivalent(path, output, error)) {
        throw Error(ErrorCode::usage, output.string() + ": the result cannot replace the model itself",
                    "name another file with --output");
    }
    auto model = torchscript::load_model(path);
    if (model.extra_files.contains(runtime::manifest_name)) {
        throw Error(ErrorCode::usage, path.string() + ": it is kernelized already",
                    "start from the original model");
    }
    const auto plan = make_plan(context, model.module);
    std::optional<torch::jit::Module> original;
    if (arguments.has("--verify")) original = torchscript::with_own_code(model.module);
    const auto manifest = torchscript::kernelize(model.module, plan);
    if (manifest.layers.empty()) {
        throw Error(ErrorCode::kernelize,
                    path.string() + ": none of its classes carries a registered layer name",
                    "see the classes with `kernels inspect`, and bind them with [[bindings]] or --bind");
    }
    if (parse_fallback(arguments) == layer::KernelizeFallback::none) {
        for (const auto& row : manifest.layers) {
            if (row.status == "replaced") continue;
            throw Error(ErrorCode::kernelize, row.module + " (" + row.layer + "): kept: " + row.reason,
                        "without --use-fallback=none it would keep its original forward");
        }
    }
    std::optional<torchscript::Verification> verification;
    if (original) verification = verify(path, *original, model.module, manifest, context);
    original
        .reset();  // torch writes what is used twice in another way, and equal inputs must give equal bytes
    const bool dry_run = arguments.has("--dry-run");
    if (!dry_run) {
        model.extra_files[runtime::manifest_name] = manifest.to_json();
        torchscript::save_model(model, output);
    }
    if (context.json) {
        nlohmann::ordered_json document = {{"model", path.string()}};
        if (!dry_run) document["output"] = output.string();
        document["manifest"] = nlohmann::ordered_json::parse(manifest.to_json());
        if (verification) document["verify"] = to_json(*verification);
        print_json(document);
    } else if (!context.quiet) {
        print_rows(manifest, context);
        if (verification) print(*verification);
        if (!dry_run) std::printf("wrote %s\n", output.string().c_str());
    }
    return 0;
}

}  // namespace kernels::app
