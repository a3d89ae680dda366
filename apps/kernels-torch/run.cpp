#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "commands.hpp"
#include "crash_guard.hpp"
#include "inputs.hpp"
#include "kernels/runtime/runtime.hpp"
#include "kernels/torch/kernelize.hpp"
#include "kernels/torch/model.hpp"
#include "kernels/torch/verify.hpp"

namespace kernels::app {
namespace {

constexpr long long most_threads = 1024;

struct Timed {
    c10::IValue output;
    double milliseconds = 0;  ///< median of a forward
};

// What ends with a line where the model or a kernel crashes, as long as the result lives.
CrashGuard guard_of(const std::string& path, bool json) {
    return CrashGuard(ErrorCode::failed, path + ": it crashed while it ran",
                      "one of its kernels is broken, or libtorch on what the model asks of it", json);
}

Timed time_forward(torch::jit::Module& module, const std::vector<c10::IValue>& inputs, long long repeat) {
    Timed timed{torchscript::run_forward(module, inputs), 0};
    // The first calls let TorchScript's executor specialize.
    torchscript::run_forward(module, inputs);
    std::vector<double> times;
    for (long long i = 0; i < repeat && !interrupted(); ++i) {
        const auto start = std::chrono::steady_clock::now();
        torchscript::run_forward(module, inputs);
        times.push_back(
            std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    if (interrupted()) throw Error(ErrorCode::interrupted, "interrupted");
    std::sort(times.begin(), times.end());
    timed.milliseconds = times[times.size() / 2];
    return timed;
}

// What the kernels of a build count themselves, where they do: their operator `call_count() -> int`.
std::optional<int64_t> counted_calls(const std::string& op_namespace) {
    const auto handle = c10::Dispatcher::singleton().findSchema({op_namespace + "::call_count", ""});
    if (!handle) return std::nullopt;
    torch::jit::Stack stack;
    handle->callBoxed(&stack);
    return stack.size() == 1 && stack[0].isInt() ? std::optional(stack[0].toInt()) : std::nullopt;
}

}  // namespace

int run_run(const Context& context) {
    const Arguments& arguments = context.arguments;
    const std::string path = arguments.positional().front();
    if (const auto cache = arguments.value("--cache")) ::setenv("KERNELS_CACHE", cache->c_str(), 1);
    if (const auto threads = arguments.number("--threads", 1))
        at::set_num_threads(static_cast<int>(std::min(*threads, most_threads)));
    const long long repeat = arguments.number("--repeat", 1).value_or(10);
    const auto tolerance = read_tolerance(arguments);

    auto model = load_model_guarded(path, context.json);
    model.module.eval();
    const auto inputs = read_inputs(context, model.module);
    const auto manifest = runtime::read_manifest(path);
    std::map<std::string, int64_t> before;
    if (manifest) {
        for (const auto& kernel : manifest->kernels) {
            if (const auto calls = counted_calls(kernel.op_namespace)) before[kernel.op_namespace] = *calls;
        }
    }
    const auto once = [&] {
        const CrashGuard guard = guard_of(path, context.json);
        return torchscript::run_forward(model.module, inputs);
    }();
    nlohmann::ordered_json document = {{"model", path}};
    document["graph-calls"] = torchscript::count_kernel_calls(model.module);
    std::map<std::string, int64_t> counted;
    for (const auto& [name, calls] : before)
        counted[name] = *counted_calls(name) - calls;
    document["counted-calls"] = counted;
    const Timed own = [&] {
        const CrashGuard guard = guard_of(path, context.json);
        return time_forward(model.module, inputs, repeat);
    }();
    document["milliseconds"] = own.milliseconds;

    std::optional<torchscript::Difference> difference;
    if (const auto reference = arguments.value("--reference")) {
        auto original = load_model_guarded(*reference, context.json);
        original.module.eval();
        const CrashGuard guard = guard_of(*reference, context.json);
        const Timed other = time_forward(original.module, inputs, repeat);
        difference = torchscript::compare(once, other.output, {tolerance});
        document["reference"] = {{"model", *reference}, {"milliseconds", other.milliseconds}};
        document["largest-difference"] = difference->largest;
        document["within-tolerance"] = difference->within;
        if (!difference->problem.empty()) document["problem"] = difference->problem;
    }
    if (context.json) {
        print_json(document);
    } else {
        for (const auto& [name, calls] : torchscript::count_kernel_calls(model.module)) {
            std::printf("calls in the graph: %s %d\n", name.c_str(), calls);
        }
        for (const auto& [name, calls] : counted) {
            std::printf("calls counted by %s in one forward: %lld\n", name.c_str(),
                        static_cast<long long>(calls));
        }
        std::printf("%s: %.3f ms\n", path.c_str(), own.milliseconds);
        if (difference) {
            std::printf("%s: %.3f ms\n", arguments.value("--reference")->c_str(),
                        document["reference"]["milliseconds"].get<double>());
            if (difference->problem.empty()) std::printf("largest difference: %.3g\n", difference->largest);
        }
    }
    if (difference && !difference->within) {
        if (context.json) return exit_status(ErrorCode::kernelize);
        throw Error(ErrorCode::kernelize,
                    path + ": its result differs from the reference's: " +
                        (difference->problem.empty() ? "beyond the tolerance" : difference->problem));
    }
    return 0;
}

}  // namespace kernels::app
