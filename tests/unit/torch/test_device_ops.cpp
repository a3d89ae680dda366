#include <torch/script.h>
#include <torch/version.h>

#include "npu_device.hpp"

#include "torch_doctest.hpp"

#include <filesystem>

#include "environment_variable.hpp"
#include "kernels/build/target.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/layer/mapping.hpp"
#include "kernels/layer/resolve.hpp"
#include "kernels/runtime/runtime.hpp"
#include "kernels/torch/kernelize.hpp"
#include "kernels/torch/model.hpp"
#include "temporary_folder.hpp"
#include "torch/device_ops.hpp"

using namespace kernels;
using namespace kernels::torchscript;
using kernels::testing::TemporaryFolder;

namespace {

namespace fs = std::filesystem;

const fs::path library = KERNELS_DEVICE_KERNEL;
const std::string loaded_namespace = KERNELS_DEVICE_KERNEL_NAMESPACE;

// x @ weight, then SiluAndMul, then ReLU.
torch::jit::Module model() {
    torch::jit::Module activation("SiluAndMul");
    activation.define(
        "def forward(self, x: Tensor) -> Tensor:\n"
        "    d = x.shape[-1] // 2\n"
        "    return torch.silu(x[..., :d]) * x[..., d:]\n");
    torch::jit::Module relu("ReLU");
    relu.define("def forward(self, x: Tensor) -> Tensor:\n    return torch.relu(x)\n");
    torch::jit::Module model("Model");
    model.register_module("act", activation);
    model.register_module("relu", relu);
    torch::manual_seed(7);
    model.register_parameter("weight", torch::randn({4, 6}), false);
    model.define(
        "def forward(self, x: Tensor) -> Tensor:\n    return "
        "self.relu.forward(self.act.forward(torch.matmul(x, "
        "self.weight)))\n");
    return model;
}

const std::string torch_version =
    std::to_string(TORCH_VERSION_MAJOR) + "." + std::to_string(TORCH_VERSION_MINOR);
const std::string torch_digits = std::to_string(TORCH_VERSION_MAJOR) + std::to_string(TORCH_VERSION_MINOR);
#ifdef __x86_64__
const std::string own_platform = "x86_64-linux";
const std::string other_platform = "aarch64-linux";
#else
const std::string own_platform = "aarch64-linux";
const std::string other_platform = "x86_64-linux";
#endif

// A kernel with one build, as a kernel repository has it; its folder.
fs::path kernel_folder(const fs::path& kernel, const std::string& variant, const std::string& op_namespace) {
    const fs::path build = kernel / "build" / variant;
    fs::create_directories(build);
    fs::copy_file(library, build / (op_namespace + ".abi3.so"));
    fs::copy_file(fs::path(KERNELS_SOURCE_DIR) / "tests/unit/torch/devices/layers.py", build / "layers.py");
    write_file(build / "metadata.json",
               R"({"name": "probe", "version": 1, "license": "Apache-2.0", "python-depends": [],
                   "backend": {"type": "cpu"}, "id": ")" +
                   op_namespace + "\"}");
    return kernel;
}

KernelizeOptions options_for(const std::string& target, const fs::path& kernel) {
    KernelizeOptions options{.mode = layer::Mode::inference};
    options.target = build::Target::parse("torch=" + torch_version + "," + target);
    options.mapping.emplace();
    for (const char* name : {"SiluAndMul", "ReLU"})
        options.mapping->set(name, layer::device_type_of(*options.target),
                             layer::LocalLayerRepository(kernel, name));
    return options;
}

std::map<std::string, int> expected_calls(const std::string& op_namespace) {
    return {{op_namespace + "::relu", 1}, {op_namespace + "::silu_and_mul", 1}};
}

int64_t calls_on(c10::DeviceType device) {
    const auto handle = c10::Dispatcher::singleton().findSchema({loaded_namespace + "::call_count", ""});
    REQUIRE(handle.has_value());
    torch::jit::Stack stack{static_cast<int64_t>(device)};
    handle->callBoxed(&stack);
    return stack.at(0).toInt();
}

}  // namespace

TEST_CASE("A model is made for each device, without its library being loaded") {
    const TemporaryFolder folder;
    const std::string torch = "torch" + torch_digits;
    const struct {
        std::string device, target, variant;
    } devices[] = {{"cuda", "cuda=12.8", torch + "-cxx11-cu128-x86_64-linux"},
                   {"rocm", "rocm=6.4,arch=gfx942", torch + "-cxx11-rocm64-x86_64-linux"},
                   {"xpu", "xpu=2025.2", torch + "-cxx11-xpu20252-x86_64-linux"},
                   {"npu", "cann=8.3,cpu=" + other_platform.substr(0, other_platform.find('-')),
                    torch + "-cxx11-cann83-" + other_platform},
                   {"mps", "metal,macos=26.0", torch + "-metal-aarch64-darwin"}};
    for (const auto& [device, target, variant] : devices) {
        CAPTURE(device);
        const std::string op_namespace = "_probe_" + device + "_schemas";
        const auto kernel = kernel_folder(folder / device, variant, op_namespace);
        CHECK(runtime::cannot_run(device, variant) != "");
        auto made = model();
        const auto manifest = kernelize(made, options_for(target, kernel));
        REQUIRE(manifest.layers.size() == 2);
        for (const auto& row : manifest.layers)
            CHECK_MESSAGE(row.status == "replaced", row.reason);
        CHECK(count_kernel_calls(made) == expected_calls(op_namespace));
        // Saved and loaded again where the operators are known, as on the device.
        const auto file = folder / (device + ".pt");
        save_model({made, {{runtime::manifest_name, manifest.to_json()}}}, file);
        CHECK(count_kernel_calls(torch::jit::load(file.string())) == expected_calls(op_namespace));
        CHECK(runtime::read_manifest(file.string())->device == device);
        CHECK(build::Target::parse(runtime::read_manifest(file.string())->target) ==
              *options_for(target, kernel).target);
        // There is no kernel behind the schema, so the call says so; nothing pretends to compute.
        CHECK_THROWS_WITH_AS(made.forward({torch::ones({2, 4})}),
                             doctest::Contains(("'" + op_namespace + "::silu_and_mul'").c_str()),
                             std::exception);
        CHECK_THROWS_WITH_AS(runtime::load(file.string()), doctest::Contains("it is kernelized for"),
                             std::runtime_error);
    }
}

TEST_CASE("What the strings of a library do not tell keeps the layer as it is, with the reason") {
    const TemporaryFolder folder;
    const auto kernel = kernel_folder(folder / "missing",
                                      "torch" + torch_digits + "-cxx11-cu128-x86_64-linux", "_probe_missing");
    const auto build = kernel / "build" / ("torch" + torch_digits + "-cxx11-cu128-x86_64-linux");
    auto options = options_for("cuda=12.8", kernel);
    options.mapping.emplace();
    options.mapping->set("SiluAndMul", "cuda", layer::LocalLayerRepository(kernel, "Unknown"));
    auto made = model();
    const auto manifest = kernelize(made, options);
    REQUIRE(manifest.layers.size() == 1);
    CHECK(manifest.layers[0].status == "kept");
    CHECK(manifest.layers[0].reason.find("not_in_the_library") != std::string::npos);
    INFO(manifest.layers[0].reason);
    CHECK(manifest.layers[0].reason.find("strings hold no schema of it") != std::string::npos);
    CHECK(made.forward({torch::ones({2, 4})}).toTensor().sizes() == at::IntArrayRef({2, 3}));

    write_file(build / "_probe_empty.abi3.so", "no library");
    CHECK_THROWS_WITH_AS(define_operators(build / "_probe_empty.abi3.so", build, "_probe_empty"),
                         doctest::Contains("hold no operator schema"), Error);
    CHECK_THROWS_AS(define_operators(build / "none.so", build, "_probe_none"), Error);
}

TEST_CASE("Two schemas of one operator decide nothing, and other namespaces are not touched") {
    const TemporaryFolder folder;
    const std::string zero(1, '\0');
    const std::string text = zero + "f(Tensor x) -> Tensor" + zero + "f(Tensor x, int n) -> Tensor" + zero +
                             "g(Tensor x) -> Tensor" + zero + "g(Tensor x) -> Tensor" + zero +
                             "g.out(Tensor x, *, Tensor(a!) out) -> Tensor(a!)" + zero +
                             "aten::relu(Wrong x) -> ()" + zero +
                             "aten::new_op_of_this_test(Tensor x) -> ()" + zero +
                             "_probe_two::h(int n) -> int" + zero + "call f(x) -> y" + zero;
    write_file(folder / "x.so", text);
    write_file(folder / "layers.py", "ops.f(x)\nops.g(x)  # ops.comment(x)\n");
    const auto ops = define_operators(folder / "x.so", folder.path(), "_probe_two");
    CHECK(ops.defined.size() == 3);
    CHECK(ops.missing.size() == 1);
    CHECK(ops.missing.at("f").find("several schemas") != std::string::npos);
    auto& dispatcher = c10::Dispatcher::singleton();
    CHECK(dispatcher.findSchema({"_probe_two::g", "out"}).has_value());
    CHECK(dispatcher.findSchema({"_probe_two::h", ""}).has_value());
    CHECK(!dispatcher.findSchema({"_probe_two::f", ""}).has_value());
    CHECK(!dispatcher.findSchema({"aten::new_op_of_this_test", ""}).has_value());
    // Asked again it says the same.
    CHECK(define_operators(folder / "x.so", folder.path(), "_probe_two").defined == ops.defined);
}

TEST_CASE("The rewritten graph reaches the kernel of each dispatch key") {
    testing::make_npu_device();
    const TemporaryFolder folder;
    const std::string variant = "torch" + torch_digits + "-cxx11-cann83-" + own_platform;
    const auto kernel = kernel_folder(folder / "kernel", variant, loaded_namespace);
    auto original = model();
    auto made = model();
    const auto manifest = kernelize(
        made, options_for("cann=8.3,cpu=" + own_platform.substr(0, own_platform.find('-')), kernel));
    CHECK(manifest.device == "npu");
    CHECK(count_kernel_calls(made) == expected_calls(loaded_namespace));
    for (const auto* op : {"silu_and_mul", "relu"}) {
        const auto handle = c10::Dispatcher::singleton().findSchema({loaded_namespace + "::" + op, ""});
        REQUIRE(handle.has_value());
        for (const auto key :
             {c10::DispatchKey::CPU, c10::DispatchKey::CUDA, c10::DispatchKey::HIP, c10::DispatchKey::XPU,
              c10::DispatchKey::MPS, c10::DispatchKey::PrivateUse1, c10::DispatchKey::Meta})
            CHECK(handle->hasKernelForDispatchKey(key));
    }
    const auto file = folder / "model.pt";
    save_model({made, {{runtime::manifest_name, manifest.to_json()}}}, file);
    const auto input = torch::randn({5, 4});
    const auto expected = original.forward({input}).toTensor();

    SUBCASE("on the CPU, with the original's result") {
        const auto before = calls_on(c10::DeviceType::CPU);
        auto loaded = torch::jit::load(file.string());
        CHECK(torch::allclose(loaded.forward({input}).toTensor(), expected, 1e-5, 1e-6));
        CHECK(calls_on(c10::DeviceType::CPU) == before + 2);
    }
    SUBCASE("on Meta tensors, for the shape") {
        auto loaded = torch::jit::load(file.string(), torch::kMeta);
        const auto before = calls_on(c10::DeviceType::Meta);
        const auto out = loaded.forward({torch::empty({5, 4}, torch::kMeta)}).toTensor();
        CHECK(out.is_meta());
        CHECK(out.sizes() == expected.sizes());
        CHECK((out.scalar_type() == expected.scalar_type()));
        CHECK(calls_on(c10::DeviceType::Meta) == before + 2);
    }
    SUBCASE("on the device npu, with the original's result") {
        CHECK(runtime::cannot_run("npu", variant) == "");
        // The library of a local kernel comes from a folder that the user names.
        CHECK_THROWS_WITH_AS(runtime::load(file.string()), doctest::Contains("folder that you name"),
                             std::runtime_error);
        const testing::EnvironmentVariable folders("KERNELS_LIBRARY_PATH",
                                                   (kernel / "build" / variant).string());
        CHECK(runtime::load(file.string()) == std::vector<std::string>{loaded_namespace});
        const c10::Device npu("npu:0");
        auto loaded = torch::jit::load(file.string(), npu);
        CHECK(loaded.attr("weight").toTensor().device() == npu);
        const auto before = calls_on(c10::DeviceType::PrivateUse1);
        const auto out = loaded.forward({input.to(npu)}).toTensor();
        CHECK(out.device() == npu);
        CHECK(calls_on(c10::DeviceType::PrivateUse1) == before + 2);
        CHECK(torch::allclose(out.cpu(), expected, 1e-5, 1e-6));
    }
}

TEST_CASE("A build that is for another platform or torch cannot run here") {
    CHECK(runtime::cannot_run("cpu", "torch" + torch_digits + "-cxx11-cpu-" + own_platform) == "");
    CHECK(runtime::cannot_run("cpu", "torch-stable-abi29-cpu-" + own_platform) == "");
    CHECK(runtime::cannot_run("cpu", "a local build") == "");
    CHECK(runtime::cannot_run("cpu", "torch" + torch_digits + "-cxx11-cpu-" + other_platform)
              .find("the build is for") == 0);
    CHECK(runtime::cannot_run("cpu", "torch11-cxx11-cpu-" + own_platform).find("torch 1.1") !=
          std::string::npos);
    CHECK(runtime::cannot_run("cuda", "torch" + torch_digits + "-cxx11-cu128-" + own_platform)
              .find("no cuda device") != std::string::npos);
    CHECK(runtime::cannot_run("warp-drive", "").find("no warp-drive device") != std::string::npos);
}
