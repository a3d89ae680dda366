#include "kernels/torch/kernelize.hpp"

#include <torch/version.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "commands.hpp"
#include "crash_guard.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"
#include "kernels/runtime/runtime.hpp"
#include "kernels/torch/model.hpp"
#include "verification.hpp"

namespace kernels::app {
namespace {

namespace fs = std::filesystem;

// --layer NAME=REPO[@REF]:LAYER, on every device; without REF it is locked by the project. What the project
// maps gives way.
void map_layer_option(const std::string& text, const std::shared_ptr<const lock::Lock>& lock,
                      const project::TrustPolicy& trust, layer::KernelMapping& mapping) {
    const auto equals = text.find('=');
    const auto colon = text.rfind(':');
    if (equals == std::string::npos || colon == std::string::npos || colon < equals || equals == 0) {
        throw Error(ErrorCode::usage,
                    "--layer " + backquoted(text) + ": not of the form NAME=REPO[@REF]:LAYER");
    }
    const std::string name = text.substr(0, equals);
    const std::string hub_layer = text.substr(colon + 1);
    const std::string repo = text.substr(equals + 1, colon - equals - 1);
    const auto at = repo.find('@');
    const RepoId id = RepoId::parse(repo.substr(0, at));
    const layer::Repository repository =
        at == std::string::npos ? layer::Repository(layer::LockedLayerRepository(id, hub_layer, lock, trust))
                                : layer::Repository(layer::LayerRepository(
                                      id, hub_layer, Reference::parse(repo.substr(at + 1)), trust));
    for (const auto& device : layer::device_types()) {
        mapping.erase(name, device);
        mapping.set(name, device, repository);
    }
}

// Tensors go back to the system when they end. glibc keeps more the more were freed; and of a model of 512
// layers whose inputs and weights are verified, between what stays, all that were smaller: 300 MiB.
void give_back_memory(bool verify) {
#ifdef __GLIBC__
    ::mallopt(M_MMAP_THRESHOLD, verify ? 1 << 16 : 1 << 20);
    ::mallopt(M_TRIM_THRESHOLD, 8 << 20);
#endif
}

// --bind NAME=CLASS_GLOB
torchscript::LayerBinding parse_bind_option(const std::string& text) {
    const auto equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
        throw Error(ErrorCode::usage, "--bind " + backquoted(text) + ": not of the form NAME=CLASS_GLOB");
    }
    return torchscript::use_kernel_forward_from_hub(text.substr(0, equals), text.substr(equals + 1));
}

// --pattern NAME=FILE:CLASS_GLOB
torchscript::LayerBinding parse_pattern_option(const std::string& text) {
    const auto equals = text.find('=');
    const auto colon = text.rfind(':');
    if (equals == std::string::npos || colon == std::string::npos || equals == 0 || colon <= equals + 1 ||
        colon + 1 == text.size()) {
        throw Error(ErrorCode::usage,
                    "--pattern " + backquoted(text) + ": not of the form NAME=FILE:CLASS_GLOB");
    }
    auto binding = torchscript::use_kernel_forward_from_hub(text.substr(0, equals), text.substr(colon + 1));
    binding.pattern = text.substr(equals + 1, colon - equals - 1);
    return binding;
}

// --target; what it leaves open is as in this process.
std::optional<build::Target> named_target(const Context& context) {
    const auto specs = context.arguments.values("--target");
    if (specs.empty()) return std::nullopt;
    if (specs.size() > 1) {
        throw Error(ErrorCode::usage,
                    "--target: a model is made for one target, not for " + std::to_string(specs.size()),
                    "run it once for each, with an --output of its own");
    }
    build::Target base;
    base.torch = Version::parse(TORCH_VERSION);
    base.cxx11_abi = true;  // of every torch that this program can be built with
    return context.named_target(specs.front(), base, ".");
}

// --verify runs the kernels.
void require_runnable(const runtime::Manifest& manifest) {
    for (const auto& kernel : manifest.kernels) {
        const auto why = runtime::cannot_run(manifest.device, kernel.variant);
        if (why.empty()) continue;
        throw Error(
            ErrorCode::usage, "--verify: the kernels cannot run here: " + why,
            "leave --verify out, and compare on such a machine: kernels run RESULT --reference MODEL");
    }
}

// What the project file and the command line say. `session` is the Hub to ask.
torchscript::KernelizeOptions read_options(const Context& context, const Session& session) {
    const Arguments& arguments = context.arguments;
    torchscript::KernelizeOptions options{
        .mode = layer::Mode::parse(arguments.value("--mode").value_or("inference"))};
    if (const auto device = arguments.value("--device")) {
        try {
            options.device = layer::Device(*device);
        } catch (const Error& error) {
            throw error.reworded("--device: " + std::string(error.what()));
        }
    }
    options.use_fallback =
        layer::KernelizeFallback::parse(arguments.value("--use-fallback").value_or("default"));
    options.cache = context.settings().cache;
    options.hub = &session.hub();
    options.fetch = arguments.has("--download") ? layer::Fetch::yes : layer::Fetch::no;
    options.target = named_target(context);
    const std::string folder = arguments.value("--project").value_or(".");
    options.detect = context.detect_options(folder);
    if (arguments.has("--no-device-check")) options.device_check = layer::DeviceCheck::no;

    const bool self_contained = !arguments.values("--layer").empty() && !arguments.has("--project");
    auto project = project::find(folder);
    if (!project && !self_contained) project = project::load(folder);  // says what is missing
    for (const auto& text : arguments.values("--bind"))
        options.bindings.push_back(parse_bind_option(text));
    for (const auto& text : arguments.values("--pattern"))
        options.bindings.push_back(parse_pattern_option(text));
    std::shared_ptr<const lock::Lock> lock;
    options.mapping.emplace();
    if (project) {
        std::error_code error;
        if (fs::exists(project->lock_file(), error))
            lock = std::make_shared<const lock::Lock>(lock::Lock::load(project->lock_file()));
        options.mapping->merge(layer::mapping_of(*project, lock));
        for (const auto& binding : project->bindings)
            options.bindings.push_back({binding, {}});
    }
    for (const auto& text : arguments.values("--layer"))
        map_layer_option(text, lock, project ? project->trust : project::TrustPolicy{}, *options.mapping);
    if (options.mapping->empty()) {
        throw Error(ErrorCode::project_file, project->file.string() + ": no layer is mapped to a kernel",
                    "add a [[layers]] entry, or --layer NAME=REPO:LAYER");
    }
    return options;
}

torchscript::KernelizeReport rewrite(const fs::path& path, torch::jit::Module& module,
                                     const torchscript::KernelizeOptions& plan, bool json) {
    CrashGuard guard(ErrorCode::kernelize,
                     "libtorch or a kernel library crashed while the layers were replaced",
                     "nothing was written", json);
    guard.about_to(path.string());
    return torchscript::kernelize(module, plan);
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
                    ((done ? bold("replaced", context.colour_out) : "kept") +
                     (row.reason.empty() ? "" : ": " + row.reason))
                        .c_str());
    }
    std::printf("replaced %zu of %zu layers\n", replaced, manifest.layers.size());
}

// The manifest's text. Throws Error(kernelize) when the model could not be loaded with it, as for a local
// kernel below a folder with a line end in its name.
std::string readable(const runtime::Manifest& manifest) {
    std::string text = manifest.to_json();
    try {
        runtime::Manifest::parse(text);
    } catch (const std::runtime_error& failure) {
        throw Error(ErrorCode::kernelize,
                    std::string("no model can be made with these kernels: ") + failure.what(),
                    "move the local kernel to a folder with a plain name");
    }
    return text;
}

}  // namespace

int run_kernelize(const Context& context) {
    give_back_memory(context.arguments.has("--verify"));
    const Arguments& arguments = context.arguments;
    const fs::path path = arguments.positional().front();
    fs::path output = path.parent_path() / (path.stem().string() + ".kernelized.pt");
    if (const auto named = arguments.value("--output")) output = *named;
    std::error_code error;
    if (fs::equivalent(path, output, error)) {
        throw Error(ErrorCode::usage, output.string() + ": the result cannot replace the model itself",
                    "name another file with --output");
    }
    if (!arguments.has("--dry-run")) require_replaceable(output);
    auto model = load_model_guarded(path, context.json, torchscript::ModelUse::inspect);
    // One that is kernelized already begins with its original forwards as well.
    if (model.extra_files.contains(runtime::manifest_name)) {
        try {
            torchscript::unkernelize(model.module);
            torchscript::forget_operators(model.module);
        } catch (const Error& damage) {
            throw damage.reworded(path.string() + ": " + damage.what());
        }
    }
    // Without --download nothing is written; the cache is read as it is all the same.
    const Session session(context, CacheUse::fills);
    const auto options = read_options(context, session);
    std::optional<torch::jit::Module> original;
    // What is found by its form alone is always proven equal.
    const bool by_pattern = std::any_of(options.bindings.begin(), options.bindings.end(),
                                        [](const auto& binding) { return binding.pattern.has_value(); });
    if (arguments.has("--input") && !arguments.has("--verify") && !by_pattern) {
        throw Error(ErrorCode::usage, "--input: nothing runs on it without --verify",
                    "add --verify, or leave --input out");
    }
    if (arguments.has("--verify") || by_pattern) original = torchscript::with_own_code(model.module);
    if (interrupted()) throw Error(ErrorCode::interrupted, "interrupted");
    auto manifest = rewrite(path, model.module, options, context.json);
    if (manifest.layers.empty()) {
        throw Error(ErrorCode::kernelize,
                    path.string() + ": none of its classes carries a registered layer name",
                    "see the classes with `kernels inspect`, and bind them with [[bindings]] or --bind");
    }
    std::optional<torchscript::Verification> verification;
    if (arguments.has("--verify") || !manifest.matches.empty()) {
        require_runnable(manifest);
        verification = verify(path, *original, model.module, manifest, context);
    }
    // torch writes what is used twice in another way, and equal inputs must give equal bytes.
    manifest.matches.clear();
    if (original) torchscript::drop_own_code(*original);
    original.reset();
    const bool dry_run = arguments.has("--dry-run");
    if (!dry_run) {
        model.extra_files[runtime::manifest_name] = readable(manifest);
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
