// layer_cost MODEL SIZE…: milliseconds of a forward on a random float tensor of these sizes.
//
// What a kernelized layer costs beside its operator called directly: layer_cost --chain MODEL OPERATOR LAYERS
//
// MODEL is a chain of LAYERS kernelized layers, each `out = torch.empty_like(x); OPERATOR(out, x…); return
// out`, with a weight and an epsilon where the operator takes them. Prints nanoseconds a layer: through the
// model's forward, through the frozen model, and by the dispatcher alone, output allocation included.
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/script.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <vector>

#include "kernels/torch/model.hpp"

namespace {

// The smallest of many medians: the machine may be busy with other things.
double nanoseconds(int layers, const std::function<void()>& run) {
    constexpr int warm_up = 20;
    constexpr int rounds = 20;
    constexpr int runs = 30;
    for (int i = 0; i < warm_up; ++i)
        run();
    double best = 1e30;
    for (int round = 0; round < rounds; ++round) {
        std::vector<double> times;
        for (int i = 0; i < runs; ++i) {
            const auto start = std::chrono::steady_clock::now();
            run();
            times.push_back(
                std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count());
        }
        std::nth_element(times.begin(), times.begin() + runs / 2, times.end());
        best = std::min(best, times[runs / 2]);
    }
    return best / layers;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    at::set_num_threads(1);
    const bool chain = std::string(argv[1]) == "--chain";
    auto model = kernels::torchscript::load_model(argv[chain ? 2 : 1]);
    model.module.eval();
    const c10::InferenceMode inference;
    if (!chain) {
        std::vector<int64_t> sizes;
        for (int i = 2; i < argc; ++i)
            sizes.push_back(std::stoll(argv[i]));
        const at::Tensor input = torch::randn(sizes);
        auto whole = model.module.get_method("forward");
        std::printf("%.4f\n", nanoseconds(1, [&] { whole({input}); }) / 1e6);
        return 0;
    }
    if (argc != 5) return 2;
    const int layers = std::stoi(argv[4]);
    const at::Tensor x = torch::randn({1, 32});
    const at::Tensor weight = torch::ones({32});
    auto forward = model.module.get_method("forward");
    const double in_model = nanoseconds(layers, [&] { forward({x}); });
    auto frozen = torch::jit::freeze(model.module);
    auto frozen_forward = frozen.get_method("forward");
    const double in_frozen = nanoseconds(layers, [&] { frozen_forward({x}); });

    const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(argv[3], "");
    const bool with_weight = op.schema().arguments().size() == 4;
    const auto unary = [&] {
        const auto call = op.typed<void(at::Tensor&, const at::Tensor&)>();
        at::Tensor value = x;
        for (int i = 0; i < layers; ++i) {
            at::Tensor out = at::empty_like(value);
            call.call(out, value);
            value = std::move(out);
        }
    };
    const auto weighted = [&] {
        const auto call = op.typed<void(at::Tensor&, const at::Tensor&, const at::Tensor&, double)>();
        at::Tensor value = x;
        for (int i = 0; i < layers; ++i) {
            at::Tensor out = at::empty_like(value);
            call.call(out, value, weight, 1e-6);
            value = std::move(out);
        }
    };
    const double direct = with_weight ? nanoseconds(layers, weighted) : nanoseconds(layers, unary);
    std::printf("{\"layer\": %.0f, \"frozen\": %.0f, \"direct\": %.0f}\n", in_model, in_frozen, direct);
    return 0;
}
