#include "gradients.hpp"

#include <torch/csrc/autograd/autograd.h>

#include <utility>

#include "kept_state.hpp"
#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

using torch::jit::Module;

// Parameters that have gradients while it lives.
class TrainedParameters {
  public:
    explicit TrainedParameters(const Module& module) {
        for (const auto& parameter : module.named_parameters()) {
            at::Tensor tensor = parameter.value;
            if (!tensor.is_floating_point() || !tensor.is_leaf()) continue;
            m_before.emplace_back(tensor, tensor.requires_grad());
            m_names.push_back(parameter.name);
            tensor.requires_grad_(true);
        }
    }
    ~TrainedParameters() {
        for (auto& [tensor, trained] : m_before)
            tensor.requires_grad_(trained);
    }
    TrainedParameters(const TrainedParameters&) = delete;
    TrainedParameters& operator=(const TrainedParameters&) = delete;

    void add_to(std::vector<at::Tensor>& tensors, std::vector<std::string>& names) const {
        for (std::size_t i = 0; i < m_before.size(); ++i) {
            tensors.push_back(m_before[i].first);
            names.push_back("parameter " + m_names[i]);
        }
    }

  private:
    std::vector<std::pair<at::Tensor, bool>> m_before;
    std::vector<std::string> m_names;
};

}  // namespace

Gradients gradients_of(Module& module, const std::string& method, const std::vector<c10::IValue>& arguments,
                       const std::vector<at::Tensor>& of_results, std::uint64_t seed,
                       const DtypesRead* in_double) {
    const KeptState state(module);
    const TrainedParameters parameters(module);
    const at::AutoGradMode with_gradients(true);
    Gradients gradients;
    std::vector<at::Tensor> leaves;
    const auto given = with_numbered_tensors(arguments, [&](const at::Tensor& tensor, std::size_t number) {
        at::Tensor leaf = exact_copy(tensor);
        if (!leaf.is_floating_point()) return leaf;
        leaf.requires_grad_(true);
        leaves.push_back(leaf);
        gradients.names.push_back("argument " + std::to_string(number + 1));
        return leaf.clone();  // what a layer changes in place is no leaf
    });
    parameters.add_to(leaves, gradients.names);

    at::manual_seed(seed);
    const auto results = tensors_in({in_double != nullptr ? run_in_double(module, method, given, *in_double)
                                                          : run_graph(module, method, given)});
    std::vector<at::Tensor> outputs;
    std::vector<at::Tensor> of_outputs;
    for (std::size_t i = 0; i < results.size() && i < of_results.size(); ++i) {
        if (!results[i].requires_grad() || !of_results[i].defined()) continue;
        outputs.push_back(results[i]);
        of_outputs.push_back(of_results[i].to(results[i].scalar_type()));
    }
    std::vector<at::Tensor> found(leaves.size());
    if (!outputs.empty() && !leaves.empty())
        found = torch::autograd::grad(outputs, leaves, of_outputs, std::nullopt, false, true);
    for (std::size_t i = 0; i < leaves.size(); ++i) {
        gradients.any = gradients.any || found[i].defined();
        gradients.values.push_back(found[i].defined() ? found[i].detach()
                                                      : at::zeros_like(leaves[i].detach()));
    }
    return gradients;
}

std::vector<at::Tensor> gradients_for(const c10::IValue& results, std::uint64_t seed) {
    at::manual_seed(seed + 1);
    std::vector<at::Tensor> gradients;
    for (const auto& result : tensors_in({results})) {
        gradients.emplace_back();
        if (result.is_floating_point() && result.layout() == at::kStrided)
            gradients.back() =
                at::randn(result.sizes(), result.options().dtype(at::kFloat).requires_grad(false))
                    .to(result.scalar_type());
    }
    return gradients;
}

}  // namespace kernels::torchscript
