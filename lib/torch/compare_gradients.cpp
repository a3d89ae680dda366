#include "compare_gradients.hpp"

#include <algorithm>

#include "gradients.hpp"
#include "in_double.hpp"
#include "silent_warnings.hpp"
#include "tensors_in.hpp"

namespace kernels::torchscript {

using torch::jit::Module;

void compare_gradients(Pair& pair, const InputCase& one, const CheckOptions& options, Outcome& outcome) {
    const auto of_results = gradients_for(outcome.expected, options.seed);
    Gradients expected;  // of other numbers than the replacement's, where it draws such
    std::vector<c10::IValue> exact;
    try {
        expected = gradients_of(pair.original, pair.method, one.arguments, of_results, options.seed);
        if (!expected.any) return;
        if (pair.exact && !outcome.draws) {
            Module copy = in_double(pair.original);  // those of its weights are in float64 too
            const auto read = dtypes_read(pair.original, pair.method, one.arguments);
            const auto found = gradients_of(copy, pair.method, with_tensors(one.arguments, copy_in_double),
                                            of_results, options.seed, &read);
            exact.assign(found.values.begin(), found.values.end());
        }
    } catch (const std::exception&) {  // of the original: then there is nothing to compare with
        if (!expected.any) return;
    }
    for (const auto& value : expected.values)
        if (!all_finite(value)) return;
    Gradients found;
    try {
        const SilentWarnings silent;
        found = gradients_of(pair.replaced, pair.method, one.arguments, of_results, options.seed);
    } catch (const std::exception& failure) {
        outcome.kind = one.may_be_refused ? Outcome::Kind::refused : Outcome::Kind::differs;
        outcome.problem = "its backward fails where the original's does not: " + cause_of(failure);
        return;
    }
    outcome.gradients = !outcome.form_alone;
    if (found.names != expected.names) {
        outcome.problem = "it has other parameters than the original";
    }
    for (std::size_t i = 0; i < found.values.size() && outcome.problem.empty(); ++i) {
        if (outcome.form_alone) {
            const bool none = found.values[i].eq(0).all().item<bool>();
            if (none && !expected.values[i].eq(0).all().item<bool>())
                outcome.problem =
                    "its gradient of " + found.names[i] + " is zero where the original's is not";
            if (!all_finite(found.values[i]))
                outcome.problem = "its gradient of " + found.names[i] + " has NaN or infinity";
            continue;
        }
        const CompareOptions rules{options.tolerance, i < exact.size() ? &exact[i] : nullptr};
        const auto difference = compare(found.values[i], expected.values[i], rules);
        outcome.largest_of_gradients = std::max(outcome.largest_of_gradients, difference.largest);
        if (!difference.within)
            outcome.problem = "its gradient of " + found.names[i] + " differs: " + difference.problem;
    }
    if (!outcome.problem.empty()) outcome.kind = Outcome::Kind::differs;
}

}  // namespace kernels::torchscript
