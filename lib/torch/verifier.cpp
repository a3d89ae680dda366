#include "verifier.hpp"

#include <torch/csrc/jit/runtime/graph_executor.h>

#include <algorithm>
#include <map>

#include "in_double.hpp"
#include "input_sizes.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "layer_kind.hpp"
#include "other_arguments.hpp"
#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

using torch::jit::Module;
using Values = std::vector<c10::IValue>;

// Copies of more than this are not made, for the sake of memory.
constexpr std::size_t largest_copy = 256UL << 20;

std::size_t bytes_in(const Module& module) {
    std::size_t bytes = 0;
    for (const auto& attribute : module.named_attributes(true)) {
        if (attribute.value.isTensor() && attribute.value.toTensor().defined())
            bytes += attribute.value.toTensor().nbytes();
    }
    return bytes;
}

bool is_small(const Module& module) {
    return bytes_in(module) <= largest_copy;
}

// Other weights, the same in both: weights that are all ones or zeros hide what a kernel makes of them.
void scatter_weights(const Module& one, const Module& other) {
    std::map<std::string, at::Tensor> others;
    for (const auto& parameter : other.named_parameters())
        others[parameter.name] = parameter.value;
    for (const auto& parameter : one.named_parameters()) {
        const at::Tensor& weight = parameter.value;
        const auto twin = others.find(parameter.name);
        if (!weight.is_floating_point() || twin == others.end()) continue;
        const auto noise = [&](double scale) {
            return scale *
                   at::randn(weight.sizes(), weight.options().dtype(at::kDouble).requires_grad(false));
        };
        const auto changed = weight.detach().to(at::kDouble) * (1 + noise(0.2)) + noise(0.05);
        weight.detach().copy_(changed);
        twin->second.detach().copy_(changed);
    }
}

// Layers of the same code, numbers and argument shapes are checked in depth once.
std::string kind_of(const Module& original, const Module& replaced, const Values& arguments) {
    std::string kind =
        code_of(original) + code_of(replaced) +
        numbers_of(original, [](const at::Tensor& tensor) { return c10::str(tensor.sizes()); });
    for (const auto& tensor : tensors_in(arguments))
        kind += c10::str(tensor.scalar_type(), tensor.sizes(), tensor.strides());
    return kind;
}

bool all_contiguous(const Values& arguments) {
    const auto tensors = tensors_in(arguments);
    return std::all_of(tensors.begin(), tensors.end(),
                       [](const at::Tensor& tensor) { return tensor.is_contiguous(); });
}

// Whether there is a number that a difference could show in.
bool tells_anything(const c10::IValue& result) {
    const auto tensors = tensors_in({result});
    return tensors.empty() || std::any_of(tensors.begin(), tensors.end(), [](const at::Tensor& tensor) {
               return tensor.isfinite().any().item<bool>();
           });
}

}  // namespace

Pair pair_of(const Module& original, const Module& replaced, const std::string& method) {
    Pair pair{original, replaced, std::nullopt, method};
    if (is_small(original)) pair.exact = in_double(original);
    return pair;
}

void Verifier::take(Verdict& verdict, const Outcome& outcome, const InputCase& one) {
    if (outcome.kind == Outcome::Kind::left_out) return;
    if (outcome.kind == Outcome::Kind::refused) {
        const std::string note = one.name + ": " + outcome.problem;
        verdict.notes.push_back(note);
        return;
    }
    if (tells_anything(outcome.expected)) ++verdict.cases;
    if (outcome.gradients) ++verdict.gradients;
    verdict.largest_of_gradients = std::max(verdict.largest_of_gradients, outcome.largest_of_gradients);
    if (outcome.kind == Outcome::Kind::differs && verdict.problem.empty())
        verdict.problem = one.name + ": " + outcome.problem;
}

void Verifier::own_inputs(Verdict& verdict, Pair& pair, const Values& arguments, const std::string& name,
                          bool whole_model) {
    InputCase own;
    own.name = name;
    own.arguments = arguments;
    own.usual_layout = all_contiguous(arguments);
    tell(verdict, own.name);
    const bool small = is_small(pair.original);
    const CheckOptions options{m_options.tolerance,   whole_model,         m_options.seed, nullptr,
                               small && !whole_model, m_gradients && small};
    const auto outcome = check(pair, own, options);
    if (outcome.kind == Outcome::Kind::left_out)
        throw Error(ErrorCode::failed, "the model failed on this input: " + outcome.problem);
    take(verdict, outcome, own);
    if (verdict.problem.empty() && !tells_anything(outcome.expected)) {
        verdict.problem =
            own.name + ": the result is empty, or NaN and infinity alone, so that nothing can be compared";
    }
    verdict.largest = std::max(verdict.largest, outcome.largest);
    m_known = {outcome.expected, floating_dtype(arguments), numbers_in(pair.original)};
}

void Verifier::cases(Verdict& verdict, const Pair& pair, const Values& arguments, bool whole_model) {
    const bool copies = is_small(pair.original);
    if (!copies && !whole_model) {
        verdict.notes.emplace_back("its weights are too large for further inputs");
        return;
    }
    const auto known = m_known;
    const torch::jit::GraphOptimizerEnabledGuard no_optimization(false);
    const auto make = [&](std::optional<at::ScalarType> dtype) {
        Pair made{copy_of(pair.original, dtype), copy_of(pair.replaced, dtype), std::nullopt, pair.method};
        if (!whole_model) scatter_weights(made.original, made.replaced);
        made.exact = in_double(made.original);
        return made;
    };
    std::map<std::optional<at::ScalarType>, Pair> pairs;
    const auto pair_for = [&](const InputCase& one) -> Pair& {
        auto found = pairs.find(one.dtype);
        if (found == pairs.end()) found = pairs.emplace(one.dtype, copies ? make(one.dtype) : pair).first;
        return found->second;
    };
    const CheckOptions options{m_options.tolerance,        whole_model, m_options.seed, &known, !whole_model,
                               m_gradients && !whole_model};
    const Accepts accepted = [&](const InputCase& one) { return accepts(pair_for(one), one, options); };
    auto all = whole_model ? model_cases(arguments, accepted, copies) : layer_cases(arguments, accepted);
    auto not_varied = add_other_arguments(
        arguments, pair.original.get_method(pair.method).function().getSchema(), accepted, all);
    if (!whole_model) {
        const auto own = own_numbers(pair.original);
        not_varied.insert(not_varied.end(), own.begin(), own.end());
    }
    if (!not_varied.empty()) verdict.notes.push_back("not varied: " + join(not_varied, ", "));
    // Code that rounds to a narrow dtype by name is not exact in a wider one: nothing to compare with.
    const bool narrow = known.dtype && (known.dtype == at::kHalf || known.dtype == at::kBFloat16) &&
                        converts_to(pair.original, *known.dtype);
    for (const auto& one : all) {
        if (!verdict.problem.empty()) return;
        if (one.dtype && narrow) continue;
        tell(verdict, one.name);
        take(verdict, check(pair_for(one), one, options), one);
    }
}

void Verifier::layer(Verdict& verdict, Pair& pair, const Values& arguments, const std::string& name) {
    const torch::jit::GraphOptimizerEnabledGuard no_optimization(false);
    own_inputs(verdict, pair, arguments, name, false);
    if (verdict.problem.empty() && m_kinds.insert(kind_of(pair.original, pair.replaced, arguments)).second)
        cases(verdict, pair, arguments, false);
}

}  // namespace kernels::torchscript
