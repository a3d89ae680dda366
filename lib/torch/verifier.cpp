#include "verifier.hpp"

#include <torch/csrc/jit/runtime/graph_executor.h>

#include <algorithm>
#include <map>

#include "graph_calls.hpp"
#include "in_double.hpp"
#include "input_sizes.hpp"
#include "kept_state.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "layer_kind.hpp"
#include "other_arguments.hpp"
#include "tensors_in.hpp"
#include "whole_numbers.hpp"

namespace kernels::torchscript {
namespace {

using torch::jit::Module;
using Values = std::vector<c10::IValue>;

// Weights of more than this are not copied, for the sake of memory: two pairs of copies may live at a time,
// the second in a dtype twice as wide.
constexpr std::size_t largest_copy = 16UL << 20;

bool may_be_copied(const Module& module) {
    return bytes_in(module) <= largest_copy;
}

CheckOptions::Weights watched(const Pair& pair, bool whole_model) {
    using Weights = CheckOptions::Weights;
    if (whole_model) return Weights::not_watched;  // its layers are
    return may_be_copied(pair.original) ? Weights::copied : Weights::summed;
}

// Larger ones are run less often, for the sake of time, and never in float64.
constexpr std::size_t largest_small = 256UL << 20;
constexpr std::size_t largest_exact = 2UL << 30;

bool is_small(const Module& module) {
    return bytes_in(module) <= largest_small;
}

using Tensors = std::vector<std::pair<at::Tensor, at::Tensor>>;

// The floating ones of the same name in both.
template <typename List>
Tensors twins(const List& ones, const List& others) {
    std::map<std::string, at::Tensor> by_name;
    for (const auto& other : others)
        by_name[other.name] = other.value;
    Tensors found;
    for (const auto& one : ones) {
        const auto twin = by_name.find(one.name);
        if (one.value.is_floating_point() && twin != by_name.end())
            found.emplace_back(one.value, twin->second);
    }
    return found;
}

void set(const std::pair<at::Tensor, at::Tensor>& twins, const at::Tensor& values) {
    twins.first.detach().copy_(values);
    twins.second.detach().copy_(values);
}

at::Tensor noise_like(const at::Tensor& tensor) {
    return at::randn(tensor.sizes(), tensor.options().dtype(at::kDouble).requires_grad(false));
}

at::Tensor scattered(const at::Tensor& tensor) {
    return tensor.detach().to(at::kDouble) * (1 + 0.2 * noise_like(tensor)) + 0.05 * noise_like(tensor);
}

// Other weights, the same in both: weights that are all ones or zeros hide what a kernel makes of them.
void scatter_weights(const Module& one, const Module& other, bool both_signs) {
    for (const auto& pair : twins(one.named_parameters(), other.named_parameters())) {
        const at::Tensor& weight = pair.first;
        auto changed = scattered(weight);
        if (both_signs) changed = changed * noise_like(weight).sign();
        set(pair, changed);
    }
}

// Flags written as numbers, such as a causal mask, are no values that could be others.
bool is_mask(const at::Tensor& buffer) {
    return !computable(buffer).isfinite().all().item<bool>() ||
           (buffer.dim() > 1 && std::get<0>(at::_unique(buffer.detach().to(at::kDouble))).numel() <= 2);
}

Tensors buffers_of(const Module& one, const Module& other) {
    auto found = twins(one.named_buffers(), other.named_buffers());
    std::erase_if(found, [](const auto& pair) { return pair.first.numel() == 0 || is_mask(pair.first); });
    return found;
}

// What has no negative values, such as a variance, gets none.
void scatter_buffers(const Module& one, const Module& other) {
    for (const auto& pair : buffers_of(one, other)) {
        auto changed = scattered(pair.first);
        if (computable(pair.first).ge(0).all().item<bool>()) changed = changed.abs();
        set(pair, repeated_as(pair.first, changed));
    }
}

// Layers of the same code, numbers and argument shapes are checked in depth once.
std::string kind_of(const Pair& pair, const Values& arguments) {
    std::string kind =
        code_of(pair.original, pair.method) + code_of(pair.replaced, pair.method) +
        numbers_of(pair.original, [](const at::Tensor& tensor) { return c10::str(tensor.sizes()); });
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
               return computable(tensor).isfinite().any().item<bool>();
           });
}

// Once.
void add(std::vector<std::string>& notes, const std::string& note) {
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
}

// Where one rounding more alone may have made the difference, also with other values: chance does not repeat
// itself.
Outcome check_again(Pair& pair, const InputCase& one, const CheckOptions& options) {
    constexpr int times = 2;
    auto outcome = check(pair, one, options);
    InputCase again = one;
    for (int i = 0; i < times && outcome.roundings; ++i) {
        again.arguments = with_tensors(one.arguments, [](const at::Tensor& tensor) {
            return tensor.is_floating_point() ? resampled(tensor, tensor.sizes()) : tensor;
        });
        auto other = check(pair, again, options);
        if (other.kind == Outcome::Kind::left_out || other.kind == Outcome::Kind::refused) break;
        outcome = std::move(other);
    }
    return outcome;
}

}  // namespace

Pair Verifier::pair_of(const Module& original, const Module& replaced, const std::string& method) {
    return {original, replaced, bytes_in(original) <= largest_exact, std::nullopt, method, {}};
}

void Verifier::take(Verdict& verdict, const Outcome& outcome, const std::string& name) {
    if (outcome.kind == Outcome::Kind::left_out) return;
    if (outcome.kind == Outcome::Kind::refused) {
        if (std::none_of(verdict.notes.begin(), verdict.notes.end(),
                         [&](const std::string& note) { return note.ends_with(": " + outcome.problem); }))
            verdict.notes.push_back(name + ": " + outcome.problem);
        return;
    }
    if (tells_anything(outcome.expected)) ++verdict.cases;
    if (outcome.gradients) ++verdict.gradients;
    verdict.largest_of_gradients = std::max(verdict.largest_of_gradients, outcome.largest_of_gradients);
    const std::string not_exact = "not compared in float64: ";
    if (!outcome.not_exact.empty()) add(verdict.notes, not_exact + outcome.not_exact);
    m_drew_others = m_drew_others || outcome.other_numbers;
    m_form_alone = m_form_alone || outcome.form_alone;
    if (outcome.kind != Outcome::Kind::differs || !verdict.problem.empty()) return;
    verdict.problem = name + ": " + outcome.problem;
    const auto reason = std::find_if(verdict.notes.begin(), verdict.notes.end(),
                                     [&](const std::string& note) { return note.starts_with(not_exact); });
    if (outcome.problem.starts_with("its result ") && reason != verdict.notes.end())
        verdict.problem += " (" + *reason + ")";
}

Outcome Verifier::check_drawing(Verdict& verdict, Pair& pair, const InputCase& one, CheckOptions options,
                                int more) {
    auto first = check_again(pair, one, options);
    take(verdict, first, one.name);
    if (!first.draws) return first;
    const int cases = verdict.cases;
    const int gradients = verdict.gradients;
    for (int i = 0; i < more && verdict.problem.empty(); ++i) {
        options.seed = m_options.seed + ++m_draws;
        const auto outcome = check_again(pair, one, options);
        if (outcome.kind == Outcome::Kind::refused) continue;
        take(verdict, outcome, one.name + ", other random numbers");
        first.largest = std::max(first.largest, outcome.largest);
    }
    verdict.cases = cases;  // of inputs, and these are the same
    verdict.gradients = gradients;
    return first;
}

namespace {

// How many steps the module takes, about: what is in a branch counts, and what runs often counts once.
std::size_t steps_in(const Module& module) {
    std::size_t steps = 0;
    for (const auto& part : module.modules()) {
        const auto forward = part.find_method("forward");
        if (forward && forward->function().isGraphFunction())
            for_each_node(torch::jit::toGraphFunction(forward->function()).graph()->block(),
                          [&](const torch::jit::Node*) { ++steps; });
    }
    return steps;
}

// Whether it tells training from evaluation.
bool reads_mode(const Module& module) {
    bool found = false;
    for (torch::jit::Graph* graph : graphs_of(module)) {
        for_each_node(graph->block(), [&](const torch::jit::Node* node) {
            found = found || (node->kind() == torch::jit::prim::GetAttr &&
                              node->s(torch::jit::attr::name) == "training");
        });
    }
    return found;
}

}  // namespace

void Verifier::own_inputs(Verdict& verdict, Pair& pair, const Values& arguments, const std::string& name,
                          bool whole_model) {
    InputCase own;
    own.name = name;
    own.arguments = arguments;
    own.usual_layout = all_contiguous(arguments);
    tell(verdict, own.name);
    const bool small = is_small(pair.original);
    const bool copies = may_be_copied(pair.original);
    const CheckOptions options{m_options.tolerance,        whole_model,           m_options.seed,   nullptr,
                               watched(pair, whole_model), m_gradients && copies, m_may_draw_others};
    // A model runs as it will be deployed, which takes libtorch time that grows with the square of its
    // length.
    constexpr std::size_t most_optimized = 4000;
    std::optional<torch::jit::GraphOptimizerEnabledGuard> no_optimization;
    const bool long_model = whole_model && steps_in(pair.original) > most_optimized;
    if (long_model) no_optimization.emplace(false);
    constexpr int draws = 8;
    const auto outcome = check_drawing(verdict, pair, own, options, small && !long_model ? draws - 1 : 0);
    if (outcome.kind == Outcome::Kind::left_out)
        throw Error(ErrorCode::failed, "the model failed on this input: " + outcome.problem);
    if (verdict.problem.empty() && !tells_anything(outcome.expected)) {
        verdict.problem =
            own.name + ": the result is empty, or NaN and infinity alone, so that nothing can be compared";
    }
    verdict.largest = std::max(verdict.largest, outcome.largest);
    m_known = {outcome.expected, floating_dtype(arguments), numbers_in(pair.original), outcome.memory};
}

void Verifier::cases(Verdict& verdict, const Pair& pair, const Values& arguments, Of of) {
    const bool whole_model = of == Of::whole_model;
    const bool small = is_small(pair.original);
    const bool copies = may_be_copied(pair.original);
    const auto known = m_known;
    const torch::jit::GraphOptimizerEnabledGuard no_optimization(false);
    const auto make = [&](std::optional<at::ScalarType> dtype, Weights weights) {
        Pair made{copy_of(pair.original, dtype),
                  copy_of(pair.replaced, dtype),
                  pair.exact,
                  std::nullopt,
                  pair.method,
                  pair.own};
        if (!whole_model) scatter_weights(made.original, made.replaced, weights == Weights::both_signs);
        if (weights == Weights::other_buffers) scatter_buffers(made.original, made.replaced);
        return made;
    };
    // Most cases are for the first, all others for the same as the one before them.
    const auto key_of = [](const InputCase& one) { return std::pair(one.dtype, one.weights); };
    Pair usual = copies ? make(std::nullopt, Weights::near) : pair;
    std::optional<Pair> other;
    decltype(key_of(InputCase())) key_of_other;
    const auto pair_for = [&](const InputCase& one) -> Pair& {
        const auto key = key_of(one);
        if (key == key_of(InputCase())) return usual;
        if (!other || key != key_of_other) {
            other.reset();  // before there are three
            other = make(one.dtype, one.weights);
            key_of_other = key;
        }
        return *other;
    };
    const CheckOptions options{m_options.tolerance,
                               whole_model,
                               m_options.seed,
                               &known,
                               watched(pair, whole_model),
                               m_gradients && copies && !whole_model,
                               m_may_draw_others};
    const Accepts accepted = [&](const InputCase& one) { return accepts(pair_for(one), one, options); };
    const Known of_original{row_counts(pair.original),
                            halves_sizes(pair.original),
                            of == Of::layer_of_one_rank,
                            {known.result},
                            known.numbers};
    auto all = whole_model ? model_cases(arguments, accepted, of_original, small)
                           : layer_cases(arguments, accepted, of_original);
    const auto has_none_of = [&](const InputCase& one) {
        if (!copies) return key_of(one) != key_of(InputCase());
        if (one.weights == Weights::near) return false;
        const bool buffers = one.weights == Weights::other_buffers;
        return buffers ? buffers_of(pair.original, pair.replaced).empty()
                       : pair.original.parameters().size() == 0;
    };
    std::erase_if(all, has_none_of);
    auto not_varied = add_other_arguments(
        arguments, pair.original.get_method(pair.method).function().getSchema(), accepted, all);
    if (!whole_model) {
        const auto own = own_numbers(pair.original);
        not_varied.insert(not_varied.end(), own.begin(), own.end());
        if (!copies)
            not_varied.emplace_back("its weights and their dtype, as they are too large to be copied");
    }
    // A layer that is called several times is checked with the arguments of each call.
    const std::string note = not_varied.empty() ? "" : "not varied: " + join(not_varied, ", ");
    if (!note.empty()) add(verdict.notes, note);
    // Code that rounds to a narrow dtype by name is not exact in a wider one: nothing to compare with.
    const bool narrow = known.dtype && (known.dtype == at::kHalf || known.dtype == at::kBFloat16) &&
                        converts_to(pair.original, *known.dtype);
    for (const auto& one : all) {
        if (!verdict.problem.empty()) return;
        if (one.dtype && narrow) continue;
        tell(verdict, one.name);
        check_drawing(verdict, pair_for(one), one, options, whole_model ? 0 : 2);
    }
}

void Verifier::layer(Verdict& verdict, Pair& pair, const Values& arguments, const std::string& name,
                     bool one_rank) {
    const torch::jit::GraphOptimizerEnabledGuard no_optimization(false);
    with_random_numbers(verdict, pair, [&] {
        own_inputs(verdict, pair, arguments, name, false);
        if (verdict.problem.empty() && m_kinds.insert(kind_of(pair, arguments)).second)
            cases(verdict, pair, arguments, one_rank ? Of::layer_of_one_rank : Of::layer);
    });
}

void Verifier::with_random_numbers(Verdict& verdict, Pair& pair, const std::function<void()>& compare) {
    const auto kinds = m_kinds;
    const bool layer = !verdict.module.empty();
    const bool training = pair.original.is_training();
    m_drew_others = m_form_alone = false;
    m_may_draw_others = (layer || m_draws_otherwise) && training;
    compare();
    m_may_draw_others = false;
    if (m_drew_others) {
        m_draws_otherwise = true;
        add(verdict.notes,
            "it draws random numbers in training, other ones than the original: its results there are "
            "compared in shape, dtype and being finite alone, all else in evaluation");
    }
    const bool in_both = layer && m_gradients && (reads_mode(pair.original) || reads_mode(pair.replaced));
    if (!training || !(m_form_alone || in_both) || !verdict.problem.empty()) return;
    m_kinds = kinds;
    // These give back the mode of each module in them, as some may be frozen in evaluation.
    const KeptState original(pair.original);
    const KeptState replaced(pair.replaced);
    pair.original.eval();
    pair.replaced.eval();
    compare();
    if (!verdict.problem.empty()) verdict.problem = "in evaluation: " + verdict.problem;
}

}  // namespace kernels::torchscript
