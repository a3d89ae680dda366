#include "kernels/torch/verify.hpp"

#include <ATen/Parallel.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>

#include "call_recorder.hpp"
#include "in_double.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "kernels/torch/kernelize.hpp"
#include "pair_check.hpp"
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

std::optional<Module> find_module(const Module& model, const std::string& path) {
    Module module = model;
    for (const auto name : split(path, '.')) {
        if (!module.hasattr(std::string(name))) return std::nullopt;
        const auto value = module.attr(std::string(name));
        if (!value.isModule()) return std::nullopt;
        module = value.toModule();
    }
    return module.find_method("forward") ? std::optional(module) : std::nullopt;
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

std::string without_mangling(const std::string& text) {
    static const std::regex mangling(R"(\.?___torch_mangle_\d+)");
    return std::regex_replace(text, mangling, "");
}

// Layers of the same code, numbers and argument shapes are checked in depth once.
std::string kind_of(const Module& original, const Module& replaced, const Values& arguments) {
    std::string kind;
    for (const auto* module : {&original, &replaced})
        kind += without_mangling(
            toGraphFunction(module->get_method("forward").function()).graph()->toString(false));
    for (const auto& attribute : original.named_attributes(true)) {
        const auto& value = attribute.value;
        if (value.isTensor()) {
            if (value.toTensor().defined()) kind += c10::str(attribute.name, value.toTensor().sizes());
        } else if (!value.isModule() && !value.isObject()) {
            kind += c10::str(attribute.name, "=", value, ";");
        }
    }
    for (const auto& tensor : tensors_in(arguments))
        kind += c10::str(tensor.scalar_type(), tensor.sizes(), tensor.strides());
    return kind;
}

// Inputs on which the layer alone runs.
std::optional<Values> inputs_for(const Module& layer, std::uint64_t seed) {
    try {
        return infer_inputs(layer, {}, seed);
    } catch (const std::exception&) {
        return std::nullopt;
    }
}

bool all_contiguous(const Values& arguments) {
    const auto tensors = tensors_in(arguments);
    return std::all_of(tensors.begin(), tensors.end(),
                       [](const at::Tensor& tensor) { return tensor.is_contiguous(); });
}

// `model_values` is for a model whose layers have no module of their own to give other values to.
enum class CaseKind { layer, model, model_values };

class Verifier {
  public:
    explicit Verifier(const VerifyOptions& options) : m_options(options) {}

    void own_inputs(Verdict& verdict, Pair& pair, const Values& arguments, const std::string& name,
                    bool whole_model);
    void cases(Verdict& verdict, const Pair& pair, const Values& arguments, CaseKind kind);
    /// Whether this is the first of its kind.
    bool is_new(const std::string& kind) { return m_kinds.insert(kind).second; }

  private:
    void take(Verdict& verdict, const Outcome& outcome, const InputCase& one);
    void tell(const Verdict& verdict, const std::string& what) const {
        if (m_options.before)
            m_options.before((verdict.module.empty() ? "the whole model" : verdict.module) + ", " + what);
    }

    const VerifyOptions& m_options;
    std::set<std::string> m_kinds;
    c10::IValue m_known;
};

void Verifier::take(Verdict& verdict, const Outcome& outcome, const InputCase& one) {
    if (outcome.kind == Outcome::Kind::left_out) return;
    if (outcome.kind == Outcome::Kind::refused) {
        const std::string note = one.name + ": " + outcome.problem;
        verdict.notes.push_back(note);
        return;
    }
    ++verdict.cases;
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
    const bool small = bytes_in(pair.original) <= largest_copy;
    const CheckOptions options{m_options.tolerance, whole_model,          m_options.seed, nullptr,
                               std::nullopt,        small && !whole_model};
    const auto outcome = check(pair, own, options);
    if (outcome.kind == Outcome::Kind::left_out)
        throw Error(ErrorCode::failed, "the model failed on this input: " + outcome.problem);
    take(verdict, outcome, own);
    verdict.largest = std::max(verdict.largest, outcome.largest);
    m_known = outcome.expected;
}

void Verifier::cases(Verdict& verdict, const Pair& pair, const Values& arguments, CaseKind kind) {
    const bool whole_model = kind != CaseKind::layer;
    const bool copies = bytes_in(pair.original) <= largest_copy;
    if (!copies && !whole_model) {
        verdict.notes.emplace_back("its weights are too large for further inputs");
        return;
    }
    const auto known = m_known;
    const auto own_dtype = floating_dtype(arguments);
    const torch::jit::GraphOptimizerEnabledGuard no_optimization(false);
    const auto make = [&](std::optional<at::ScalarType> dtype) {
        Pair made{copy_of(pair.original, dtype), copy_of(pair.replaced, dtype), std::nullopt};
        if (!whole_model) scatter_weights(made.original, made.replaced);
        made.exact = in_double(made.original);
        return made;
    };
    std::map<std::optional<at::ScalarType>, Pair> pairs;
    const auto all =
        whole_model ? model_cases(arguments, copies, kind == CaseKind::model_values) : layer_cases(arguments);
    // Code that rounds to a narrow dtype by name is not exact in a wider one: nothing to compare with.
    const bool narrow = own_dtype && (own_dtype == at::kHalf || own_dtype == at::kBFloat16) &&
                        converts_to(pair.original, *own_dtype);
    for (const auto& one : all) {
        if (!verdict.problem.empty()) return;
        if (one.dtype && narrow) continue;
        tell(verdict, one.name);
        auto found = pairs.find(one.dtype);
        if (found == pairs.end()) found = pairs.emplace(one.dtype, copies ? make(one.dtype) : pair).first;
        take(verdict,
             check(found->second, one,
                   {m_options.tolerance, whole_model, m_options.seed, &known, own_dtype, !whole_model}),
             one);
    }
}

}  // namespace

bool Verification::passed() const {
    return model.problem.empty() && std::all_of(layers.begin(), layers.end(), [](const Verdict& verdict) {
               return verdict.problem.empty();
           });
}

Module with_own_code(const Module& model) {
    return model.clone(true);
}

c10::IValue run_forward(Module& model, const Values& inputs) {
    const c10::InferenceMode inference;
    try {
        return model.get_method("forward")(with_tensors(inputs, exact_copy));
    } catch (const std::exception& failure) {
        throw Error(ErrorCode::failed, "the model failed on this input: " + cause_of(failure));
    }
}

Verification verify(Module& original, Module& kernelized, const runtime::Manifest& manifest,
                    const VerifyOptions& options) {
    const at::NoGradGuard no_gradients;
    const SeveralThreads several;
    Verification verification;
    struct Layer {
        Module original;
        Module replaced;
        std::size_t verdict;
    };
    std::multimap<const c10::ivalue::Object*, Layer> layers;
    std::set<c10::ClassTypePtr> classes;
    for (const auto& row : manifest.layers) {
        if (row.status != "replaced") continue;
        Verdict verdict;
        verdict.module = row.module;
        verdict.layer = row.layer;
        const auto before = find_module(original, row.module);
        const auto after = find_module(kernelized, row.module);
        if (before && after) {
            layers.emplace(before->_ivalue().get(), Layer{*before, *after, verification.layers.size()});
            classes.insert(before->type());
        } else {
            verdict.notes.emplace_back("no module of its own: compared with the whole model only");
        }
        verification.layers.push_back(std::move(verdict));
    }
    watch_calls(classes);

    Verifier verifier(options);
    std::exception_ptr failure;
    const auto check_layer = [&](const Module& module, const Values& arguments, const std::string& name) {
        const auto [begin, end] = layers.equal_range(module._ivalue().get());
        for (auto found = begin; found != end; ++found) {
            auto& verdict = verification.layers[found->second.verdict];
            if (!verdict.problem.empty()) continue;
            Pair pair{found->second.original, found->second.replaced, std::nullopt};
            if (bytes_in(pair.original) <= largest_copy) pair.exact = in_double(pair.original);
            const torch::jit::GraphOptimizerEnabledGuard no_optimization(false);
            verifier.own_inputs(verdict, pair, arguments, name, false);
            if (verdict.problem.empty() &&
                verifier.is_new(kind_of(pair.original, pair.replaced, arguments))) {
                verifier.cases(verdict, pair, arguments, CaseKind::layer);
            }
        }
    };
    {
        const CallObservation observation([&](const Module& module, const Values& arguments) {
            try {
                check_layer(module, with_tensors(arguments, exact_copy), "what the model gives it");
            } catch (...) {
                if (!failure) failure = std::current_exception();
            }
        });
        at::manual_seed(options.seed);
        try {
            original.get_method("forward")(with_tensors(options.inputs, exact_copy));
        } catch (const std::exception& error) {
            throw Error(ErrorCode::failed, "the model failed on this input: " + cause_of(error));
        }
    }
    if (failure) std::rethrow_exception(failure);
    // What this run does not reach, another method or other inputs may: it must not pass unseen.
    for (const auto& [object, layer] : layers) {
        auto& verdict = verification.layers[layer.verdict];
        if (verdict.cases > 0 || !verdict.problem.empty()) continue;
        if (const auto inputs = inputs_for(layer.original, options.seed))
            check_layer(layer.original, *inputs, "inputs made for it, as the model does not call it");
        verdict.reached = verdict.cases > 0 || !verdict.problem.empty();
        if (!verdict.reached)
            verdict.problem = "the model does not call it on these inputs, and none can be made for it";
    }

    Pair pair{original, kernelized, std::nullopt};
    if (bytes_in(original) <= largest_copy) pair.exact = in_double(original);
    verifier.own_inputs(verification.model, pair, options.inputs, "its inputs", true);
    const bool matched = std::any_of(manifest.layers.begin(), manifest.layers.end(), [](const auto& row) {
        return row.status == "replaced" && row.reason == by_pattern;
    });
    if ((options.made_up || matched) && verification.model.problem.empty())
        verifier.cases(verification.model, pair, options.inputs,
                       matched ? CaseKind::model_values : CaseKind::model);
    return verification;
}

}  // namespace kernels::torchscript
