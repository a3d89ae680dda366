// Kernelizes one transformer block both ways, as a torch::nn::Module and as TorchScript, and compares: both
// must compute what the original computes, by three calls of the kernels each.
#include <ATen/core/dispatch/Dispatcher.h>

#include <iostream>

#include "block.hpp"
#include "kernels/core/error.hpp"

using kernels::KernelVersion;
using namespace kernels::layer;

namespace {

// How often the demo kernel's operators were called in this process; the kernel counts itself.
int64_t calls(const kernels::runtime::Manifest& report) {
    return c10::Dispatcher::singleton()
        .findSchemaOrThrow((report.kernels.at(0).op_namespace + "::call_count").c_str(), "")
        .typed<int64_t()>()
        .call();
}

bool all_replaced(const kernels::runtime::Manifest& report) {
    for (const auto& row : report.layers) {
        std::cout << "  " << row.module << ": " << row.status << " " << row.reason << "\n";
        if (row.status != "replaced") return false;
    }
    return report.layers.size() == 3;
}

}  // namespace

int main() {
    try {
        const torch::NoGradGuard no_gradients;
        torch::manual_seed(0);
        demo::Block block(64, 4);
        auto script = demo::script_block(*block);
        const auto x = torch::randn({2, 10, 64});
        const auto expected = block(x);
        const auto scripted = script.forward({x}).toTensor();

        const auto layer = [](const char* name) {
            return LayerRepository("kernels-demo/transformer-ops", name, KernelVersion{1});
        };
        register_kernel_mapping(
            {{"RMSNorm", "cpu", layer("RMSNorm")}, {"SiluAndMul", "cpu", layer("SiluAndMul")}});
        std::cout << "torch::nn::Module\n";
        const auto native_report = kernels::native::kernelize(*block, {.mode = Mode::inference});
        if (!all_replaced(native_report)) return 1;
        std::cout << "TorchScript\n";
        const auto script_report = kernels::torchscript::kernelize(script, {.mode = Mode::inference});
        if (!all_replaced(script_report)) return 1;

        const auto before = calls(native_report);
        const auto native_result = block(x);
        const auto between = calls(native_report);
        const auto script_result = script.forward({x}).toTensor();
        const auto after = calls(native_report);
        std::cout << "kernel calls: " << between - before << " and " << after - between << "\n";
        std::cout << "largest difference to the original: "
                  << (native_result - expected).abs().max().item<double>() << " and "
                  << (script_result - expected).abs().max().item<double>() << "\n";
        const bool equal = scripted.allclose(expected, 1e-5, 1e-5) &&
                           native_result.allclose(expected, 1e-5, 1e-5) &&
                           script_result.allclose(native_result, 1e-5, 1e-5);
        return equal && between - before == 3 && after - between == 3 ? 0 : 1;
    } catch (const std::exception& error) {
        std::cerr << error.what() << "\n";
        return 1;
    }
}
