#include "pair_check.hpp"

#include <ATen/Context.h>
#include <c10/util/Exception.h>

#include "guarded_memory.hpp"
#include "kernels/core/text.hpp"
#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

using torch::jit::Module;
using Values = std::vector<c10::IValue>;

// Memory of torch.empty is filled with NaN or the largest number, so that what a kernel leaves unwritten
// shows.
class FilledMemory {
  public:
    FilledMemory() : m_guard(&m_silent) {
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
    struct Silent final : c10::WarningHandler {
        void process(const c10::Warning&) override {}
    } m_silent;
    c10::WarningUtils::WarningHandlerGuard m_guard;
    bool m_deterministic = at::globalContext().deterministicAlgorithms();
    bool m_warn = at::globalContext().deterministicAlgorithmsWarnOnly();
    bool m_fill = at::globalContext().deterministicFillUninitializedMemory();
};

c10::IValue call(Module& module, const Values& arguments, std::uint64_t seed) {
    at::manual_seed(seed);  // for dropout and the like
    return module.get_method("forward")(arguments);
}

bool all_finite(const c10::IValue& value) {
    for (const auto& tensor : tensors_in({value})) {
        if (tensor.is_floating_point() && !tensor.isfinite().all().item<bool>()) return false;
    }
    return true;
}

bool share(const at::Tensor& one, const at::Tensor& other) {
    return one.numel() > 0 && other.numel() > 0 && one.has_storage() && other.has_storage() &&
           one.is_alias_of(other);
}

bool any_shares(const at::Tensor& one, const std::vector<at::Tensor>& others) {
    for (const auto& other : others) {
        if (share(one, other)) return true;
    }
    return false;
}

// What a result shares memory with where the original's result does not.
std::string shared_memory(const Pair& pair, const c10::IValue& actual, const Values& arguments,
                          const c10::IValue& expected, const Values& original_arguments) {
    const auto results = tensors_in({actual});
    const auto originals = tensors_in({expected});
    const auto inputs = tensors_in(arguments);
    const auto original_inputs = tensors_in(original_arguments);
    const auto weights = weights_of(pair.replaced);
    const auto original_weights = weights_of(pair.original);
    for (std::size_t i = 0; i < results.size() && i < originals.size(); ++i) {
        for (std::size_t j = 0; j < inputs.size() && j < original_inputs.size(); ++j) {
            if (share(results[i], inputs[j]) && !share(originals[i], original_inputs[j]))
                return "its result shares memory with its argument " + std::to_string(j + 1);
        }
        if (any_shares(results[i], weights) && !any_shares(originals[i], original_weights))
            return "its result shares memory with a weight";
        for (std::size_t j = 0; j < i; ++j) {
            if (share(results[i], results[j]) && !share(originals[i], originals[j]))
                return "its results share memory with each other";
        }
    }
    return {};
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

// Weights as they were before a call.
class Snapshot {
  public:
    explicit Snapshot(const Module& module) : m_module(module) {
        for (const auto& item : module.named_attributes(true)) {
            if (item.value.isTensor() && item.value.toTensor().defined())
                m_before.emplace_back(item.name, exact_copy(item.value.toTensor()));
        }
    }
    /// The name of the first that is another now; empty when none is.
    std::string changed() const {
        std::size_t i = 0;
        for (const auto& item : m_module.named_attributes(true)) {
            if (!item.value.isTensor() || !item.value.toTensor().defined()) continue;
            if (i == m_before.size() || m_before[i].first != item.name) return item.name;
            if (!same_bytes(m_before[i++].second, item.value.toTensor())) return item.name;
        }
        return {};
    }

  private:
    const Module& m_module;
    std::vector<std::pair<std::string, at::Tensor>> m_before;
};

// What two calls of the replacement left.
struct Calls {
    Values arguments;  // of the first, after it
    c10::IValue first;
    c10::IValue first_as_given;  // a copy from before the second call
    c10::IValue second;
    std::string changed_weight;
    bool damage = false;
};

// What is wrong although the result is right.
std::string fault_beside_result(const Pair& pair, const InputCase& one, const Calls& calls,
                                const c10::IValue& expected, const Values& for_original,
                                const CompareOptions& rules) {
    if (calls.damage) return "it writes outside of the memory of its tensors";
    if (!calls.changed_weight.empty())
        return "it changes its parameter " + calls.changed_weight + " in place";
    if (auto shared = shared_memory(pair, calls.first, calls.arguments, expected, for_original);
        !shared.empty())
        return shared;
    if (auto changed = changed_arguments(one.arguments, calls.arguments, for_original, {rules.tolerance});
        !changed.empty()) {
        return changed;
    }
    if (const auto repeated = compare(calls.second, expected, rules); !repeated.within)
        return "its result differs when it is called again: " + repeated.problem;
    const auto before = tensors_in({calls.first_as_given});
    const auto after = tensors_in({calls.first});
    const auto second = tensors_in({calls.second});
    const auto original_weights = weights_of(pair.original);
    const auto originals = tensors_in({expected});
    for (std::size_t i = 0; i < before.size(); ++i) {
        const bool constant = any_shares(originals[i], original_weights);
        if (!same_bytes(before[i], after[i]) || (!constant && share(after[i], second[i])))
            return "calling it again changes the result that it gave before";
    }
    return {};
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

Outcome check(Pair& pair, const InputCase& one, const CheckOptions& options) {
    const Values for_original = with_tensors(one.arguments, exact_copy);
    Outcome outcome;
    std::optional<Snapshot> weights;
    try {
        if (options.watch_weights) weights.emplace(pair.original);
        outcome.expected = call(pair.original, for_original, options.seed);
        // Where the original changes weights itself, as a cache does, a kernel may as well.
        const bool constant = weights && weights->changed().empty();
        weights.reset();
        if (constant) weights.emplace(pair.replaced);
    } catch (const std::exception& failure) {
        outcome.kind = Outcome::Kind::left_out;
        outcome.problem = cause_of(failure);
        return outcome;
    }
    if ((one.finite_result && options.known != nullptr && !all_finite(outcome.expected)) ||
        (options.known != nullptr && !follows(outcome.expected, *options.known, one, options.own_dtype))) {
        outcome.kind = Outcome::Kind::left_out;
        return outcome;
    }
    std::optional<c10::IValue> exact;
    if (pair.exact) {
        try {
            const auto in_double = [](const at::Tensor& tensor) {
                return tensor.is_floating_point() ? tensor.to(at::kDouble) : tensor.clone();
            };
            exact = call(*pair.exact, with_tensors(one.arguments, in_double), options.seed);
        } catch (const std::exception&) {  // its code names a dtype; then there is nothing more exact
        }
    }
    const CompareOptions rules{options.tolerance, exact ? &*exact : nullptr, one.usual_layout,
                               options.whole_model};
    Calls calls;
    try {
        const GuardedMemory guarded;
        calls.arguments = with_tensors(one.arguments, exact_copy);
        const Values again = with_tensors(one.arguments, exact_copy);
        {
            const FilledMemory filled;
            calls.first = call(pair.replaced, calls.arguments, options.seed);
        }
        calls.first_as_given = with_tensors(calls.first, exact_copy);
        if (weights) calls.changed_weight = weights->changed();
        calls.second = call(pair.replaced, again, options.seed);
        calls.damage = GuardedMemory::damaged();
    } catch (const std::exception& failure) {
        outcome.kind = one.may_be_refused ? Outcome::Kind::refused : Outcome::Kind::differs;
        outcome.problem = "it fails where the original does not: " + cause_of(failure);
        return outcome;
    }
    const auto found = compare(calls.first_as_given, outcome.expected, rules);
    outcome.largest = found.largest;
    outcome.problem = found.within
                          ? fault_beside_result(pair, one, calls, outcome.expected, for_original, rules)
                          : "its result differs: " + found.problem;
    if (!outcome.problem.empty()) outcome.kind = Outcome::Kind::differs;
    return outcome;
}

}  // namespace kernels::torchscript
