// The TorchScript forms of use_kernel_forward_from_hub, use_kernel_func_from_hub and
// replace_kernel_forward_from_hub: they say which modules of a model carry which layer name.
#include "expect.hpp"
#include "kernels/torch/kernelize.hpp"
#include "script_model.hpp"

using kernels::KernelVersion;
using namespace kernels::layer;
using namespace kernels::torchscript;

namespace {

int example() {
    const torch::NoGradGuard no_gradients;
    const auto scope = use_kernel_mapping({
        {"SiluAndMul", "cpu",
         LayerRepository("kernels-demo/transformer-ops", "SiluAndMul", KernelVersion{1})},
        {"relu", "cpu", FuncRepository("kernels-demo/transformer-ops", "relu", KernelVersion{1})},
    });
    auto model = make_model();
    const auto x = torch::rand({4, 8});
    const auto expected = model.forward({x}).toTensor();
    const auto status = [](const KernelizeReport& report, const std::string& module) {
        for (const auto& row : report.layers) {
            if (row.module != module) continue;
            std::cout << row.module << " (" << row.layer << "): " << row.status << ' ' << row.reason << '\n';
            return row.status;
        }
        return std::string("not a layer");
    };
    const auto is_equal = [&] { return model.forward({x}).toTensor().allclose(expected, 1e-5, 1e-6); };

    // Neither class has the name of a mapped layer.
    expect(kernelize(model, {.mode = Mode::inference}).layers.empty(),
           "without bindings nothing is replaced");

    auto report = kernelize(model, {.mode = Mode::inference,
                                    .bindings = {use_kernel_forward_from_hub("SiluAndMul", "demo.Gate")}});
    expect(status(report, "gate") == "replaced" && status(report, "activation") == "not a layer",
           "use_kernel_forward_from_hub binds the classes that match a glob");
    expect(is_equal() && count_kernel_calls(model).size() == 1, "the result is the same, by the kernel");

    report = kernelize(model, {.mode = Mode::inference,
                               .bindings = {use_kernel_forward_from_hub("SiluAndMul", ModulePath{"gate"})}});
    expect(status(report, "gate") == "replaced" && is_equal(), "or the modules at a path");

    report = kernelize(
        model, {.mode = Mode::inference, .bindings = {use_kernel_func_from_hub("relu", "activation")}});
    expect(status(report, "activation") == "replaced" && status(report, "gate") == "not a layer",
           "use_kernel_func_from_hub binds the modules at a path, which are function calls");
    expect(is_equal() && count_kernel_calls(model).size() == 1, "the result is the same, by the kernel");

    const auto with_size = [&](int size) {
        return kernelize(model, {.mode = Mode::inference,
                                 .bindings = {replace_kernel_forward_from_hub(
                                     "*.Gate", "SiluAndMul", [size](const torch::jit::Module& gate) {
                                         return gate.attr("size").toInt() == size;
                                     })}});
    };
    expect(status(with_size(8), "gate") == "replaced" && is_equal(),
           "replace_kernel_forward_from_hub binds classes of others, with a condition");
    expect(status(with_size(4), "gate") == "kept" && is_equal() && count_kernel_calls(model).empty(),
           "where the condition does not hold the module keeps its forward");
    return 0;
}

}  // namespace

int main() {
    return run_example(needs_the_demo_kernel, example);
}
