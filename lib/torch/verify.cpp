#include "kernels/torch/verify.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <tuple>

#include "call_recorder.hpp"
#include "graph_run.hpp"
#include "kept_state.hpp"
#include "kernels/core/error.hpp"
#include "kernels/layer/mode.hpp"
#include "matched_pair.hpp"
#include "module_at.hpp"
#include "original_forwards.hpp"
#include "other_arguments.hpp"
#include "tensors_in.hpp"
#include "verifier.hpp"

namespace kernels::torchscript {
namespace {

using torch::jit::Module;
using Values = std::vector<c10::IValue>;

// More threads than one, on a small machine too: races are not to wait for a larger one.
class SeveralThreads {
  public:
    SeveralThreads() {
        constexpr int enough = 4;
        if (m_before < enough) at::set_num_threads(enough);
    }
    ~SeveralThreads() { at::set_num_threads(m_before); }
    SeveralThreads(const SeveralThreads&) = delete;
    SeveralThreads& operator=(const SeveralThreads&) = delete;

  private:
    int m_before = at::get_num_threads();
};

// The modules of both compute in training, or in evaluation, as long as this lives: those that have a flag
// for it. The flags they had come back.
class Modes {
  public:
    Modes(const Module& original, const Module& kernelized, bool training) {
        for (const Module& model : {original, kernelized}) {
            for (const Module& part : model.modules()) {
                const auto slot = part.type()->findAttributeSlot("training");
                if (!slot || part.type()->getAttribute(*slot)->kind() != c10::TypeKind::BoolType) continue;
                m_flags.emplace_back(part._ivalue(), *slot, part._ivalue()->getSlot(*slot).toBool());
                part._ivalue()->setSlot(*slot, training);
            }
        }
    }
    ~Modes() {
        for (auto one = m_flags.rbegin(); one != m_flags.rend(); ++one)  // a shared module is there twice
            std::get<0>(*one)->setSlot(std::get<1>(*one), std::get<2>(*one));
    }
    Modes(const Modes&) = delete;
    Modes& operator=(const Modes&) = delete;

  private:
    std::vector<std::tuple<c10::intrusive_ptr<c10::ivalue::Object>, std::size_t, bool>> m_flags;
};

// Inputs on which the layer alone runs.
std::optional<Values> inputs_for(const Module& layer, std::uint64_t seed) {
    try {
        return infer_inputs(layer, {}, seed);
    } catch (const std::exception&) {
        return std::nullopt;
    }
}

// What was replaced, a module of the model or what was matched by pattern, and how to run it by itself.
struct Replaced {
    std::size_t verdict = 0;
    bool match = false;
    bool one_rank = false;  ///< found for tensors of that number of dimensions only
    std::function<Pair()> pair;
};

class Run {
  public:
    Run(Module& original, Module& kernelized, const KernelizeReport& report, const VerifyOptions& options)
        : m_original(original),
          m_kernelized(kernelized),
          m_report(report),
          m_options(options),
          m_verifier(options, layer::Mode::parse(report.mode).is_training()) {}

    Verification run() {
        find_replaced();
        if (m_found.layers.empty()) {
            m_found.model.notes.emplace_back("nothing was replaced");
            return std::move(m_found);
        }
        find_methods();
        observe_all();
        run_what_was_not_reached();
        whole_model();
        if (layer::Mode::parse(m_report.mode).is_training()) tell_of_gradients();
        return std::move(m_found);
    }

  private:
    void find_replaced();
    void find_methods();
    void observe_all();
    void observe_other_inputs();
    std::string observe(const std::string& method, const Values& inputs, const std::string& name);
    bool is_reached(const Replaced& replaced) const {
        const auto& verdict = m_found.layers[replaced.verdict];
        return verdict.cases > 0 || !verdict.problem.empty();
    }
    bool all_reached() const {
        return std::all_of(m_replaced.begin(), m_replaced.end(),
                           [this](const auto& one) { return is_reached(one); });
    }
    void run_what_was_not_reached();
    void whole_model();
    void tell_of_gradients();
    void check_match(int64_t number, Values values, const std::string& name);
    void check(const Replaced& replaced, const Values& arguments, const std::string& name,
               const std::string& method = "forward");

    Module& m_original;
    Module& m_kernelized;
    const KernelizeReport& m_report;
    const VerifyOptions& m_options;
    OwnArgumentSearch m_own_arguments{m_original};
    Verifier m_verifier;
    Verification m_found;
    std::vector<Replaced> m_replaced;
    std::multimap<const c10::ivalue::Object*, std::size_t> m_modules;  // places in m_replaced
    std::map<int64_t, std::size_t> m_matches;                          // the same
    std::map<std::string, Values> m_methods;                           // what they are run on
    bool m_others = false;  // inputs other than the model's own: for what those do not reach
};

void Run::find_replaced() {
    std::set<c10::ClassTypePtr> classes;
    for (const auto& row : m_report.layers) {
        if (row.status != "replaced") continue;
        Replaced replaced;
        replaced.verdict = m_found.layers.size();
        Verdict verdict;
        verdict.module = row.module;
        verdict.layer = row.layer;
        const auto match = std::find_if(m_report.matches.begin(), m_report.matches.end(),
                                        [&](const auto& one) { return one->row == row.module; });
        const auto before = module_at(m_original, row.module);
        const auto after = module_at(m_kernelized, row.module);
        if (match != m_report.matches.end()) {
            replaced.pair = [this, one = *match] {
                const auto [reference, kernel] = modules_of(*one, m_original);
                return m_verifier.pair_of(reference, kernel);
            };
            replaced.match = true;
            if ((*match)->rank) {
                replaced.one_rank = true;
                verdict.notes.push_back("found for tensors of " + std::to_string(*(*match)->rank) +
                                        " dimensions only");
            }
            m_matches.emplace(match - m_report.matches.begin(), m_replaced.size());
        } else if (before && after && row.reason != by_pattern) {
            replaced.pair = [this, before = *before, after = *after] {
                return m_verifier.pair_of(before, after);
            };
            m_modules.emplace(before->_ivalue().get(), m_replaced.size());
            classes.insert(before->type());
        } else {
            verdict.notes.emplace_back("no module of its own: compared with the whole model only");
        }
        if (replaced.pair) m_replaced.push_back(std::move(replaced));
        m_found.layers.push_back(std::move(verdict));
    }
    watch_matches(m_report.matches, m_original);
    watch_calls(classes);
}

// The exported methods that kernels have changed.
void Run::find_methods() {
    static const std::regex no_export(R"(forward\d*|__.*)");
    for (const auto& method : m_kernelized.get_methods()) {
        const std::string& name = method.name();
        if (is_original(method.function()) || std::regex_match(name, no_export) ||
            !calls_replaced(m_kernelized, name))
            continue;
        Verdict verdict;
        verdict.method = name;
        if (auto inputs = infer_inputs(m_original, m_options.archive, m_options.seed, name)) {
            m_methods.emplace(name, *std::move(inputs));
        } else {
            verdict.notes.emplace_back("no inputs can be made for it");
        }
        m_found.methods.push_back(std::move(verdict));
    }
}

void Run::check(const Replaced& replaced, const Values& arguments, const std::string& name,
                const std::string& method) {
    auto& verdict = m_found.layers[replaced.verdict];
    if (!verdict.problem.empty() || (m_others && is_reached(replaced))) return;
    Pair pair = replaced.pair();
    pair.method = method;
    if (!replaced.match) pair.own = m_own_arguments.of(pair.original.get_method(method).function());
    m_verifier.layer(verdict, pair, arguments, name, replaced.one_rank);
}

// `values` are the match's arguments and results.
void Run::check_match(int64_t number, Values values, const std::string& name) {
    const auto& match = *m_report.matches[static_cast<std::size_t>(number)];
    const auto& replaced = m_replaced[m_matches.at(number)];
    if (m_others && is_reached(replaced)) return;
    const auto first_result = values.begin() + static_cast<std::ptrdiff_t>(match.arguments.size());
    const Values results(first_result, values.end());
    values.erase(first_result, values.end());
    Module reference = replaced.pair().original;
    auto& problem = m_found.layers[replaced.verdict].problem;
    if (problem.empty())
        problem = difference_from_model(match, reference, values, results, m_options.tolerance);
    check(replaced, values, name);
}

// Runs the original, and each replaced layer where the original comes to it. Why the original failed, if it
// did.
std::string Run::observe(const std::string& method, const Values& inputs, const std::string& name) {
    std::exception_ptr failure;
    const CallObservation observation(
        [&](const c10::IValue& who, const std::string& called, const Values& given) {
            try {
                const auto arguments = with_tensors(given, exact_copy);
                if (who.isInt()) return check_match(who.toInt(), arguments, name);
                const auto [begin, end] = m_modules.equal_range(who.toObject().get());
                for (auto found = begin; found != end; ++found)
                    check(m_replaced[found->second], arguments, name, called);
            } catch (...) {
                if (!failure) failure = std::current_exception();
            }
        });
    at::manual_seed(m_options.seed);
    const KeptState state(m_original);
    const torch::jit::GraphOptimizerEnabledGuard no_optimization(false);  // it runs once
    std::string cause;
    try {
        run_graph(m_original, method, with_tensors(inputs, exact_copy));
    } catch (const std::exception& error) {
        cause = cause_of(error);
    }
    if (failure) std::rethrow_exception(failure);
    return cause;
}

void Run::observe_all() {
    const std::string name = "what the model gives it";
    const auto observe_own = [&](const std::string& method, const Values& inputs) {
        if (const auto cause = observe(method, inputs, name); !cause.empty())
            throw Error(ErrorCode::failed, "the model failed on this input: " + cause);
    };
    observe_own("forward", m_options.inputs);
    for (const auto& [method, inputs] : m_methods)
        observe_own(method, inputs);
    m_others = true;
    if (!all_reached()) observe_other_inputs();
}

// Other sizes, flags and numbers, and the other of training and evaluation, may take other branches.
void Run::observe_other_inputs() {
    const Accepts runs = [&](const InputCase& one) {
        return all_reached() ||
               observe("forward", one.arguments, "what the model gives it on " + one.name).empty();
    };
    auto cases = model_cases(m_options.inputs, runs, {}, false);
    add_other_arguments(m_options.inputs, m_original.get_method("forward").function().getSchema(), runs,
                        cases);
    for (const auto& one : cases)
        runs(one);
    if (all_reached()) return;
    const bool training = !m_original.is_training();
    const Modes other(m_original, m_kernelized, training);
    observe("forward", m_options.inputs,
            training ? "what the model gives it in training" : "what the model gives it in evaluation");
}

// What no input reaches others may: it must not pass unseen. A match would be compared with the reference
// alone, and not with what the model computes there.
void Run::run_what_was_not_reached() {
    for (const auto& replaced : m_replaced) {
        auto& verdict = m_found.layers[replaced.verdict];
        if (is_reached(replaced)) continue;
        if (replaced.match) {
            verdict.problem =
                "no input that was tried comes to it, so what the model computes there is unknown";
            verdict.reached = false;
            continue;
        }
        if (const auto inputs = inputs_for(replaced.pair().original, m_options.seed))
            check(replaced, *inputs, "inputs made for it, as the model does not call it");
        verdict.reached = is_reached(replaced);
        if (!verdict.reached)
            verdict.problem = "the model does not call it on these inputs, and none can be made for it";
    }
}

void Run::whole_model() {
    Pair pair = m_verifier.pair_of(m_original, m_kernelized);
    const auto compare = [&](Verdict& verdict, const Values& inputs, const char* name) {
        m_verifier.with_random_numbers(verdict, pair, [&] {
            m_verifier.own_inputs(verdict, pair, inputs, name, true);
            if (verdict.problem.empty()) m_verifier.cases(verdict, pair, inputs, Verifier::Of::whole_model);
        });
    };
    compare(m_found.model, m_options.inputs, "its inputs");
    for (auto& verdict : m_found.methods) {
        const auto inputs = m_methods.find(verdict.method);
        if (inputs == m_methods.end()) continue;
        pair.method = verdict.method;
        compare(verdict, inputs->second, "inputs made for it");
    }
}

void Run::tell_of_gradients() {
    for (auto& verdict : m_found.layers)
        if (verdict.gradients == 0 && verdict.problem.empty())
            verdict.notes.emplace_back("no gradients were compared: the original gives none");
}

// Whether a class of the one is a class of the other.
bool share_code(const Module& one, const Module& other) {
    std::set<const c10::ClassType*> classes;
    for (const auto& module : one.modules())
        classes.insert(module.type().get());
    for (const auto& module : other.modules()) {
        if (classes.contains(module.type().get())) return true;
    }
    return false;
}

}  // namespace

bool Verification::passed() const {
    const auto right = [](const Verdict& verdict) { return verdict.problem.empty(); };
    return right(model) && std::all_of(layers.begin(), layers.end(), right) &&
           std::all_of(methods.begin(), methods.end(), right);
}

Module with_own_code(const Module& model) {
    return model.clone(true);
}

void drop_own_code(const Module& copy) {
    remove_methods(copy);
}

c10::IValue run_forward(Module& model, const Values& inputs) {
    return run_method(model, "forward", inputs);
}

c10::IValue run_method(Module& model, const std::string& method, const Values& inputs) {
    const c10::InferenceMode inference;
    try {
        return run_graph(model, method, with_tensors(inputs, exact_copy));
    } catch (const std::exception& failure) {
        throw Error(ErrorCode::failed, "the model failed on this input: " + cause_of(failure));
    }
}

Verification verify(Module& original, Module& kernelized, const KernelizeReport& report,
                    const VerifyOptions& options) {
    if (share_code(original, kernelized)) {
        throw Error(
            ErrorCode::usage,
            "verify: the original shares its code with the kernelized model, as copy() and deepcopy() do",
            "make it by with_own_code() before kernelize(), or load the model twice");
    }
    const at::NoGradGuard no_gradients;
    const SeveralThreads several;
    // A model that is in training keeps the modes of what is in it, as some may be frozen in evaluation.
    std::optional<Modes> training;
    if (layer::Mode::parse(report.mode).is_training() && !original.attr("training", false).toBool())
        training.emplace(original, kernelized, true);
    auto found = Run(original, kernelized, report, options).run();
    // What ran keeps five copies of its graph, which for a long model are more than all of its layers.
    renew_methods(original);
    renew_methods(kernelized);
    return found;
}

}  // namespace kernels::torchscript
