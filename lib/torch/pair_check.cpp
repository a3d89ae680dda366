#include "pair_check.hpp"

#include <ATen/Context.h>

#include <algorithm>
#include <set>

#include "compare_gradients.hpp"
#include "exact_result.hpp"
#include "graph_run.hpp"
#include "guarded_memory.hpp"
#include "in_double.hpp"
#include "kept_state.hpp"
#include "kernels/core/text.hpp"
#include "module_at.hpp"
#include "next_call.hpp"
#include "random_state.hpp"
#include "sensitivity.hpp"
#include "shared_memory.hpp"
#include "silent_warnings.hpp"
#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

using torch::jit::Module;
using Values = std::vector<c10::IValue>;

// Memory of torch.empty is filled with NaN or the largest number, so that what a kernel leaves unwritten
// shows.
class FilledMemory {
  public:
    FilledMemory() {
        auto& context = at::globalContext();
        context.setDeterministicFillUninitializedMemory(true);
        context.setDeterministicAlgorithms(true, true);
    }
    ~FilledMemory() {
        auto& context = at::globalContext();
        context.setDeterministicAlgorithms(m_deterministic, m_warn);
        context.setDeterministicFillUninitializedMemory(m_fill);
    }
    FilledMemory(const FilledMemory&) = delete;
    FilledMemory& operator=(const FilledMemory&) = delete;

  private:
    SilentWarnings m_silent;
    bool m_deterministic = at::globalContext().deterministicAlgorithms();
    bool m_warn = at::globalContext().deterministicAlgorithmsWarnOnly();
    bool m_fill = at::globalContext().deterministicFillUninitializedMemory();
};

struct Called {
    c10::IValue result;
    RandomState after;
    bool draws = false;  // random numbers
};

Called call(const Module& module, const std::string& method, const Values& arguments, std::uint64_t seed) {
    at::manual_seed(seed);  // for dropout and the like
    const RandomState before;
    auto result = run_graph(module, method, arguments);
    RandomState after;
    const bool draws = after != before;
    return {std::move(result), std::move(after), draws};
}

// Arguments that the replacement changed and the original did not, or changed otherwise.
std::string changed_arguments(const Values& before, const Values& by_replaced, const Values& by_original,
                              const CompareOptions& options) {
    const auto was = tensors_in(before);
    const auto now = tensors_in(by_replaced);
    const auto expected = tensors_in(by_original);
    for (std::size_t i = 0; i < was.size(); ++i) {
        const std::string name = "its argument " + std::to_string(i + 1);
        if (same_bytes(was[i], expected[i])) {
            if (!same_bytes(was[i], now[i])) return "it changes " + name + " in place";
        } else if (!compare(now[i], expected[i], options).within) {
            return "it changes " + name + " in another way";
        }
    }
    return {};
}

using Watched = CheckOptions::Weights;
using Changes = std::vector<KeptState::Change>;

// What the call of the original left.
struct OriginalCall {
    Values arguments;  // after it
    SharedMemory memory;
    Changes changes;  // of its state
    std::optional<RandomState> random;
    bool draws = false;
};

// What two calls of the replacement left.
struct Calls {
    Values arguments;                   // of the first, after it
    c10::IValue first;                  // a copy from before any other call
    std::optional<c10::IValue> second;  // where it is another
    SharedMemory memory;
    std::vector<std::size_t> given_again;  // results that are in the same memory both times
    bool overwrites = false;               // the first result in the second call
    std::string other_state;
    bool damage = false;
    bool draws = false;
    bool other_numbers = false;  // than the original
    bool other_order = false;    // may be theirs: the same numbers, for other elements
};

bool changes_parameters(const Changes& changes) {
    return std::any_of(changes.begin(), changes.end(), [](const auto& change) { return change.parameter; });
}

// Whether the one could be the other, had the same random numbers been drawn.
bool same_form(const c10::IValue& actual, const c10::IValue& expected) {
    if (actual.tagKind() != expected.tagKind()) return false;
    const auto now = tensors_in({actual});
    const auto then = tensors_in({expected});
    const bool same =
        std::equal(now.begin(), now.end(), then.begin(), then.end(), [](const auto& a, const auto& e) {
            return a.sizes() == e.sizes() && a.scalar_type() == e.scalar_type() && a.device() == e.device() &&
                   a.layout() == e.layout();
        });
    return same && (all_finite(actual) || !all_finite(expected));
}

// What the replacement's call made of the state, against what the original's call made of it. `drawn`: floats
// there may come of other random numbers.
std::string other_state(const KeptState& replaced, const Changes& by_original, const CompareOptions& options,
                        bool drawn) {
    std::set<std::string> expected;
    for (const auto& change : by_original) {
        expected.insert(change.name);
        const auto now = replaced.now(change.name);
        const auto difference = compare(now, change.now, options);
        const bool may_differ = drawn && change.now.isTensor() && change.now.toTensor().is_floating_point() &&
                                same_form(now, change.now);
        if (!difference.within && !may_differ)
            return "it leaves another " + change.name + " behind than the original: " + difference.problem;
    }
    for (const auto& change : replaced.changes()) {
        if (!expected.contains(change.name))
            return std::string("it changes its ") + (change.parameter ? "parameter " : "attribute ") +
                   change.name + " in place";
    }
    return {};
}

// What a case may take where the known call takes less: ids of one dimension fewer can make a mask of a
// number of rows that is the model's width.
std::optional<std::size_t> most_memory(const CheckOptions& options) {
    constexpr std::size_t enough = 64UL << 20;
    if (options.known == nullptr) return std::nullopt;
    return std::max(enough, options.known->memory);
}

// What the original gives, or left_out where that tells nothing.
Outcome run_original(Pair& pair, const InputCase& one, const CheckOptions& options, OriginalCall& call_of) {
    using Parameters = KeptState::Parameters;
    Outcome outcome;
    const bool sums = options.weights == Watched::summed && options.known == nullptr;
    const auto sum = sums ? checksum_of_parameters(pair.original) : 0;
    try {
        call_of.arguments = with_tensors(one.arguments, exact_copy);
        std::vector<at::Tensor> results;
        {
            const bool kept = options.weights == Watched::copied;
            const KeptState state(pair.original, kept ? Parameters::kept : Parameters::not_kept);
            const GuardedMemory memory(most_memory(options));
            auto called = call(pair.original, pair.method, call_of.arguments, options.seed);
            outcome.memory = GuardedMemory::peak();
            results = tensors_in({called.result});
            outcome.expected = with_tensors(called.result, exact_copy);
            outcome.draws = call_of.draws = called.draws;
            call_of.random = std::move(called.after);
            call_of.changes = state.changes();
        }
        call_of.memory = memory_shared_by(results, call_of.arguments, pair.original);
    } catch (const std::exception& failure) {
        outcome.kind = Outcome::Kind::left_out;
        outcome.problem = cause_of(failure);
        return outcome;
    }
    if (sums && checksum_of_parameters(pair.original) == sum)
        pair.sum_of_weights = checksum_of_parameters(pair.replaced);
    if (options.known == nullptr) return outcome;
    if ((one.finite_result && !all_finite(outcome.expected)) ||
        !follows(outcome.expected, *options.known, one))
        outcome.kind = Outcome::Kind::left_out;
    return outcome;
}

// Whether also the original gives the same memory each time: a weight, or a constant of its code.
bool is_given_again(const Pair& pair, std::size_t number, const InputCase& one, std::uint64_t seed) {
    const KeptState state(pair.original);
    const auto results = [&] {
        return tensors_in(
            {call(pair.original, pair.method, with_tensors(one.arguments, exact_copy), seed).result});
    };
    const auto once = results();
    const auto again = results();
    return number < once.size() && number < again.size() && share(once[number], again[number]);
}

// Whether the two are the same to the last bit; what they are compared by otherwise can tell no difference.
bool is_same(const c10::IValue& one, const c10::IValue& other) {
    if (one.tagKind() != other.tagKind()) return false;
    if (one.isTensor()) {
        const auto& a = one.toTensor();
        const auto& b = other.toTensor();
        return a.defined() && b.defined() && a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() &&
               a.layout() == b.layout() && same_bytes(a, b);
    }
    const auto all_same = [](const auto& ones, const auto& others) {
        return std::equal(ones.begin(), ones.end(), others.begin(), others.end(), is_same);
    };
    if (one.isTuple()) return all_same(one.toTupleRef().elements(), other.toTupleRef().elements());
    if (one.isList()) return all_same(one.toListRef(), other.toListRef());
    return one.isNone();
}

// What is wrong although the result is right.
std::string fault_beside_result(const Pair& pair, const InputCase& one, const Calls& calls,
                                const OriginalCall& original, const c10::IValue& expected,
                                const CompareOptions& rules, std::uint64_t seed) {
    if (calls.damage) return "it writes outside of the memory of its tensors";
    if (!calls.other_state.empty()) return calls.other_state;
    if (auto shared = fault_of_memory(calls.memory, original.memory); !shared.empty()) return shared;
    if (auto changed =
            changed_arguments(one.arguments, calls.arguments, original.arguments, {rules.tolerance});
        !changed.empty()) {
        return changed;
    }
    if (calls.second) {
        if (const auto repeated = compare(*calls.second, expected, rules); !repeated.within)
            return "its result differs when it is called again: " + repeated.problem;
    }
    const bool given_again = std::any_of(calls.given_again.begin(), calls.given_again.end(),
                                         [&](std::size_t i) { return !is_given_again(pair, i, one, seed); });
    return calls.overwrites || given_again ? "calling it again changes the result that it gave before" : "";
}

// Calls the replacement twice. What it gave is not kept: of large results there are as few as can be.
Calls run_replaced(const Pair& pair, const InputCase& one, const CheckOptions& options,
                   const OriginalCall& original) {
    using Parameters = KeptState::Parameters;
    // Where the original changes parameters itself, a kernel may as well.
    const bool watch = options.weights == Watched::copied && !changes_parameters(original.changes);
    KeptState state(pair.replaced, watch ? Parameters::kept : Parameters::not_kept);
    Calls calls;
    const GuardedMemory guarded;
    calls.arguments = with_tensors(one.arguments, exact_copy);
    const Values again = with_tensors(one.arguments, exact_copy);
    std::vector<at::Tensor> results;
    {
        const FilledMemory filled;
        const auto called = call(pair.replaced, pair.method, calls.arguments, options.seed);
        results = tensors_in({called.result});
        calls.first = with_tensors(called.result, exact_copy);
        calls.draws = called.draws;
        const bool both_draw = original.draws && called.draws;
        const bool same_numbers = both_draw && called.after == *original.random;
        calls.other_numbers = options.may_draw_others && both_draw && !same_numbers;
        calls.other_order = same_numbers && !one.usual_layout;
    }
    calls.other_state = other_state(state, original.changes, {options.tolerance},
                                    (calls.other_numbers || calls.other_order) && options.whole_model);
    state.restore();
    const auto second = call(pair.replaced, pair.method, again, options.seed).result;
    calls.damage = GuardedMemory::damaged(weights_of(pair.replaced));
    calls.memory = memory_shared_by(results, calls.arguments, pair.replaced);
    const auto copies = tensors_in({calls.first});
    const auto results_again = tensors_in({second});
    for (std::size_t i = 0; i < results.size(); ++i) {
        calls.overwrites = calls.overwrites || !same_bytes(copies[i], results[i]);
        if (i < results_again.size() && share(results[i], results_again[i])) calls.given_again.push_back(i);
    }
    if (!is_same(calls.first, second)) calls.second = with_tensors(second, exact_copy);
    if (pair.sum_of_weights && checksum_of_parameters(pair.replaced) != *pair.sum_of_weights)
        calls.other_state = "it changes its parameters in place";
    return calls;
}

}  // namespace

std::string cause_of(const std::exception& failure) {
    std::string cause;
    for (const auto line : split(failure.what(), '\n')) {
        if (line.starts_with("Exception raised from") || line.starts_with("Position: ") ||
            line.starts_with("Declaration: "))
            break;
        if (!trimmed(line).empty() && !line.starts_with("frame #")) cause = trimmed(line);
    }
    return cause;
}

Module copy_of(const Module& module, std::optional<at::ScalarType> dtype) {
    Module copy = module.deepcopy();
    if (dtype) convert(copy, *dtype);
    return copy;
}

namespace {

// The case with the pair's own weights where they are arguments: those are no inputs that could be others.
InputCase with_own(const Pair& pair, InputCase one) {
    for (const auto& [place, path] : pair.own)
        one.arguments.at(place - 1) = attribute_at(pair.original, path);
    return one;
}

}  // namespace

bool accepts(Pair& pair, const InputCase& one, const CheckOptions& options) {
    OriginalCall original;
    return run_original(pair, with_own(pair, one), options, original).kind == Outcome::Kind::same;
}

Outcome check(Pair& pair, const InputCase& any, const CheckOptions& options) {
    const InputCase one = with_own(pair, any);
    OriginalCall original;
    Outcome outcome = run_original(pair, one, options, original);
    if (outcome.kind == Outcome::Kind::left_out) return outcome;
    Calls calls;
    try {
        calls = run_replaced(pair, one, options, original);
    } catch (const std::exception& failure) {
        outcome.kind = one.may_be_refused ? Outcome::Kind::refused : Outcome::Kind::differs;
        outcome.problem = "it fails where the original does not: " + cause_of(failure);
        return outcome;
    }
    const bool own_inputs = options.known == nullptr;
    const auto exact = exact_result(pair, one, options, outcome);
    CompareOptions rules{options.tolerance, exact ? &*exact : nullptr};
    rules.strides = options.whole_model && own_inputs && one.usual_layout;
    rules.roundings = !options.whole_model && !one.dtype && !one.may_be_refused;  // of what the model uses
    rules.special = one.special;
    auto found = compare(calls.first, outcome.expected, rules);
    c10::IValue moves;
    if (!found.within && !calls.other_numbers && !options.tolerance.given()) {
        rules.moved_by = exact ? rounding_of(one.arguments)
                               : rounding_of(narrowest_dtype(pair.original, one.arguments, outcome.expected));
        if (exact && is_rounded_as_float(outcome.expected, *exact))
            rules.moved_by = std::min(rules.moved_by, rounding_of(at::kFloat));
        moves =
            sensitivity(pair.original, pair.method, one.arguments, exact ? *exact : outcome.expected,
                        options.seed, exact ? Dtypes::in_double : Dtypes::other_roundings, rules.moved_by);
        rules.sensitivity = &moves;
        found = compare(calls.first, outcome.expected, rules);
    }
    outcome.draws = original.draws || calls.draws;
    const bool may_differ = calls.other_numbers || (calls.other_order && !found.within);
    if (may_differ && same_form(calls.first, outcome.expected)) {
        outcome.form_alone = true;
        outcome.other_numbers = calls.other_numbers;
        found = {};
    }
    outcome.largest = found.largest;
    outcome.roundings = found.roundings && !found.within;
    outcome.problem = found.within ? fault_beside_result(pair, one, calls, original,
                                                         outcome.form_alone ? calls.first : outcome.expected,
                                                         rules, options.seed)
                                   : "its result differs: " + found.problem;
    if (outcome.problem.empty() && own_inputs && !original.changes.empty() && !original.draws)
        outcome.problem = fault_of_next_call(pair, one, options);
    if (!outcome.problem.empty()) {
        outcome.kind = Outcome::Kind::differs;
    } else if (options.gradients && one.gradients) {
        compare_gradients(pair, one, options, outcome);
    }
    return outcome;
}

}  // namespace kernels::torchscript
