#include "exact_result.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "graph_run.hpp"
#include "in_double.hpp"
#include "kept_state.hpp"
#include "sensitivity.hpp"
#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

double mean_square(const at::Tensor& values) {
    return at::nan_to_num(values.to(at::kDouble), 0, 0, 0).square_().mean().item<double>();
}

// The result's own error by what is computed in float64, where it is more than the roundings of a few steps
// make in the narrowest dtype; else 0. Of whole models in narrow dtypes nobody can say: those may be deep.
std::vector<double> large_errors(const c10::IValue& result, const c10::IValue& in_double,
                                 at::ScalarType narrowest, bool whole_model) {
    const double most = narrowest == at::kBFloat16 ? 0.3
                        : narrowest == at::kHalf   ? 5e-2
                        : whole_model              ? 3e-2
                                                   : 1e-3;
    const auto ones = tensors_in({result});
    const auto others = tensors_in({in_double});
    std::vector<double> errors(ones.size(), 0);
    if (whole_model && narrowest != at::kFloat) return errors;
    for (std::size_t i = 0; i < ones.size() && i < others.size(); ++i) {
        const auto& one = ones[i];
        if (!one.is_floating_point() || one.element_size() == 1 || one.layout() != at::kStrided ||
            others[i].layout() != at::kStrided || one.sizes() != others[i].sizes() || one.numel() == 0)
            continue;
        const double square = mean_square(one.to(at::kDouble) - others[i]);
        if (square > std::pow(most, 2) * mean_square(one) + 1e-60) errors[i] = std::sqrt(square);
    }
    return errors;
}

// Whether such an error cannot come of roundings, as where code asks for dtypes: then what was computed in
// float64 is no measure. Roundings of the inputs move the result about as far as those of the steps do, where
// the steps make much of them: of E[x^2] - E[x]^2 little is left.
bool computes_otherwise(const Pair& pair, const InputCase& one, const CheckOptions& options,
                        const c10::IValue& result, const std::vector<double>& errors) {
    constexpr double much_further = 16;
    if (std::all_of(errors.begin(), errors.end(), [](double error) { return error == 0; })) return false;
    const auto moves = tensors_in({sensitivity(pair.original, pair.method, one.arguments, result,
                                               options.seed, Dtypes::as_named, rounding_of(one.arguments))});
    for (std::size_t i = 0; i < errors.size(); ++i)
        if (errors[i] > much_further * std::sqrt(mean_square(moves[i]))) return true;
    return false;
}

}  // namespace

bool is_rounded_as_float(const c10::IValue& result, const c10::IValue& exact) {
    constexpr double most = 1e-5;
    constexpr double most_others =
        1e-3;  // of whole numbers, and of those of 8 bits, which are rounded in both
    const auto ones = tensors_in({result});
    const auto others = tensors_in({exact});
    bool all = ones.size() == others.size();
    for (std::size_t i = 0; all && i < ones.size(); ++i) {
        const auto& one = ones[i];
        const auto& other = others[i];
        if (one.layout() != at::kStrided || one.is_quantized() || one.is_complex() ||
            one.sizes() != other.sizes()) {
            all = false;
        } else if (one.scalar_type() == other.scalar_type()) {
            all = one.numel() == 0 || one.ne(other).to(at::kFloat).mean().item<double>() <= most_others;
        } else {
            all = one.scalar_type() == at::kFloat && other.scalar_type() == at::kDouble &&
                  (one.numel() == 0 ||
                   mean_square(one.to(at::kDouble) - other) <= most * most * mean_square(one));
        }
    }
    return all;
}

std::optional<c10::IValue> exact_result(Pair& pair, const InputCase& one, const CheckOptions& options,
                                        Outcome& outcome) {
    if (!pair.exact) return std::nullopt;
    const bool own_inputs = options.known == nullptr;
    if (outcome.draws) return std::nullopt;
    std::optional<c10::IValue> exact;
    try {
        const KeptState state(pair.original);  // of lists and dictionaries
        at::manual_seed(options.seed);
        exact = run_in_double(pair.original, pair.method, with_tensors(one.arguments, copy_in_double),
                              dtypes_read(pair.original, pair.method, one.arguments));
        exact = with_tensors(*exact, [](const at::Tensor& tensor) {  // the others may be of the state
            return tensor.scalar_type() == at::kDouble ? tensor : exact_copy(tensor);
        });
    } catch (const std::exception& failure) {
        if (own_inputs) outcome.not_exact = cause_of(failure);
    }
    if (own_inputs && exact && !chooses(pair.original)) {  // where it chooses, it may choose otherwise
        const auto errors = large_errors(outcome.expected, *exact,
                                         narrowest_dtype(pair.original, one.arguments, outcome.expected),
                                         options.whole_model);
        if (computes_otherwise(pair, one, options, outcome.expected, errors))
            outcome.not_exact = "it computes something else there";
    }
    if (outcome.not_exact.empty()) return exact;
    pair.exact = false;
    return std::nullopt;
}

}  // namespace kernels::torchscript
