#include "next_call.hpp"

#include <functional>

#include "graph_run.hpp"
#include "in_double.hpp"
#include "kept_state.hpp"
#include "sensitivity.hpp"
#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

using torch::jit::Module;
using Values = std::vector<c10::IValue>;

c10::IValue seeded(const Module& module, const std::string& method, const Values& arguments,
                   std::uint64_t seed) {
    at::manual_seed(seed);
    return run_graph(module, method, arguments);
}

}  // namespace

std::string fault_of_next_call(const Pair& pair, const InputCase& one, const CheckOptions& options) {
    at::manual_seed(options.seed);
    const auto next = with_tensors(one.arguments, [](const at::Tensor& tensor) {
        return tensor.is_floating_point() ? resampled(tensor, tensor.sizes()) : tensor;
    });
    using Call = std::function<c10::IValue(const Values&)>;
    const auto second_of = [&](const Module& module, const Call& run) {
        const KeptState state(module);
        run(with_tensors(one.arguments, exact_copy));
        return with_tensors(run(with_tensors(next, exact_copy)), exact_copy);
    };
    const auto as_ever = [&](const Module& module) {
        return second_of(module, [&](const Values& arguments) {
            return seeded(module, pair.method, arguments, options.seed);
        });
    };
    c10::IValue expected;
    try {
        expected = as_ever(pair.original);
    } catch (const std::exception&) {  // it remembers that it was called
        return {};
    }
    try {
        const auto result = as_ever(pair.replaced);
        CompareOptions rules{options.tolerance};
        auto difference = compare(result, expected, rules);
        c10::IValue moves;
        if (!difference.within && !options.tolerance.given()) {
            moves = movement(expected, [&](int i) {
                return second_of(pair.original, [&](const Values& arguments) {
                    return run_with_other_roundings(pair.original, pair.method, arguments,
                                                    static_cast<std::uint64_t>(i));
                });
            });
            rules.sensitivity = &moves;
            rules.moved_by = rounding_of(narrowest_dtype(pair.original, one.arguments, expected));
            difference = compare(result, expected, rules);
        }
        return difference.within ? ""
                                 : "its next result differs, by what it remembers: " + difference.problem;
    } catch (const std::exception& failure) {
        return "its next call fails where the original's does not: " + cause_of(failure);
    }
}

}  // namespace kernels::torchscript
