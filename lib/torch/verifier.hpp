// Running one original and its replacement on many inputs.
#pragma once

#include <torch/script.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "kernels/torch/verify.hpp"
#include "pair_check.hpp"

namespace kernels::torchscript {

class Verifier {
  public:
    /// With `gradients` those are compared as well: of layers, and of models on their own inputs.
    Verifier(const VerifyOptions& options, bool gradients) : m_options(options), m_gradients(gradients) {}

    /// With the original in float64, where that is not too large.
    Pair pair_of(const torch::jit::Module& original, const torch::jit::Module& replaced,
                 const std::string& method = "forward");
    /// On these inputs. Throws Error(failed) when the original fails on them.
    void own_inputs(Verdict& verdict, Pair& pair, const std::vector<c10::IValue>& arguments,
                    const std::string& name, bool whole_model);
    /// On inputs made from those of own_inputs, which must come before it.
    enum class Of { whole_model, layer, layer_of_one_rank };
    void cases(Verdict& verdict, const Pair& pair, const std::vector<c10::IValue>& arguments, Of of);
    /// Both for a layer; the second for the first of its kind only. With `one_rank` it is known to be right
    /// for tensors of the given numbers of dimensions only.
    void layer(Verdict& verdict, Pair& pair, const std::vector<c10::IValue>& arguments,
               const std::string& name, bool one_rank);

    /// `compare` makes both comparisons. Where the replacement of a module in training draws other random
    /// numbers than the original, its results there are compared in form alone and everything is compared
    /// again in evaluation, with a note. Of a whole model only where a layer was such a one. Compared again
    /// are also, without a note, results whose random numbers may be in another order, and with `gradients`
    /// layers that tell training from evaluation: a model that is trained is evaluated as well.
    void with_random_numbers(Verdict& verdict, Pair& pair, const std::function<void()>& compare);

  private:
    /// Compares on the case and, where random numbers are drawn, with some others `more` times: a branch may
    /// depend on them.
    Outcome check_drawing(Verdict& verdict, Pair& pair, const InputCase& one, CheckOptions options, int more);
    void take(Verdict& verdict, const Outcome& outcome, const std::string& name);
    void tell(const Verdict& verdict, const std::string& what) const {
        const std::string model = verdict.method.empty() ? "the whole model" : "the method " + verdict.method;
        if (m_options.before)
            m_options.before((verdict.module.empty() ? model : verdict.module) + ", " + what);
    }

    const VerifyOptions& m_options;
    bool m_gradients;
    std::set<std::string> m_kinds;
    bool m_draws_otherwise = false;  // a layer
    bool m_may_draw_others = false;  // what is compared now
    bool m_drew_others = false;      // since this was last set to false
    bool m_form_alone = false;       // was compared; likewise
    std::uint64_t m_draws = 0;       // further random numbers that were tried
    KnownCall m_known;
};

}  // namespace kernels::torchscript
