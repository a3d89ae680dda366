#include "exact_result.hpp"

#include <cmath>

#include "graph_run.hpp"
#include "in_double.hpp"
#include "kept_state.hpp"
#include "sensitivity.hpp"
#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

// Whether the difference between the two cannot come of roundings, as where code asks for dtypes: then what
// was computed in float64 is no measure. Of whole models in narrow dtypes nobody can say: those may be deep.
bool computes_otherwise(const c10::IValue& result, const c10::IValue& in_double, at::ScalarType narrowest,
                        bool whole_model) {
    if (whole_model && narrowest != at::kFloat) return false;
    const double most = narrowest == at::kBFloat16 ? 0.3
                        : narrowest == at::kHalf   ? 5e-2
                        : whole_model              ? 3e-2
                                                   : 1e-3;
    const auto ones = tensors_in({result});
    const auto others = tensors_in({in_double});
    for (std::size_t i = 0; i < ones.size() && i < others.size(); ++i) {
        const auto& one = ones[i];
        if (!one.is_floating_point() || one.element_size() == 1 || one.layout() != at::kStrided ||
            others[i].layout() != at::kStrided || one.sizes() != others[i].sizes() || one.numel() == 0)
            continue;
        const auto values = at::nan_to_num(one.to(at::kDouble), 0, 0, 0);
        const auto distance = at::nan_to_num(one.to(at::kDouble) - others[i], 0, 0, 0);
        if (distance.square().mean().item<double>() >
            std::pow(most, 2) * values.square().mean().item<double>() + 1e-60)
            return true;
    }
    return false;
}

}  // namespace

std::optional<c10::IValue> exact_result(Pair& pair, const InputCase& one, const CheckOptions& options,
                                        Outcome& outcome) {
    if (!pair.exact) return std::nullopt;
    const bool own_inputs = options.known == nullptr;
    const auto own_dtype = dtype_of(pair.original, one.arguments);
    if (decides_by_dtypes(pair.original, own_dtype)) {
        if (own_inputs) outcome.not_exact = "it decides by dtypes and converts to others";
        return std::nullopt;
    }
    if (outcome.draws) return std::nullopt;
    std::optional<c10::IValue> exact;
    try {
        const KeptState state(pair.original);  // of lists and dictionaries
        at::manual_seed(options.seed);
        exact = run_graph(pair.original, pair.method, with_tensors(one.arguments, copy_in_double),
                          Dtypes::in_double, own_dtype);
        exact = with_tensors(*exact, [](const at::Tensor& tensor) {  // the others may be of the state
            return tensor.scalar_type() == at::kDouble ? tensor : exact_copy(tensor);
        });
    } catch (const std::exception& failure) {
        if (own_inputs) outcome.not_exact = cause_of(failure);
    }
    if (own_inputs && exact && !chooses(pair.original)) {  // where it chooses, it may choose otherwise
        auto values = one.arguments;
        values.push_back(outcome.expected);
        if (computes_otherwise(outcome.expected, *exact, narrowest_dtype(pair.original, values),
                               options.whole_model))
            outcome.not_exact = "it computes something else there";
    }
    if (outcome.not_exact.empty()) return exact;
    pair.exact = false;
    return std::nullopt;
}

}  // namespace kernels::torchscript
