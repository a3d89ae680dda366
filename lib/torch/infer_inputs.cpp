// Arguments for a model that nobody gave any.
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import_read.h>

#include <algorithm>
#include <set>

#include "input_cases.hpp"
#include "kept_state.hpp"
#include "kernels/torch/kernelize.hpp"
#include "kernels/torch/verify.hpp"
#include "tensors_in.hpp"
#include "whole_numbers.hpp"

namespace kernels::torchscript {
namespace {

using torch::jit::Module;
using Values = std::vector<c10::IValue>;

constexpr int64_t most_elements = 1 << 26;
constexpr std::size_t most_tries = 400;

// Shape and dtype of an argument; whole numbers are below `bound`.
struct Form {
    std::vector<int64_t> sizes;
    at::ScalarType dtype = at::kFloat;
    int64_t bound = 0;
};

at::Tensor make(const Form& form) {
    if (form.dtype == at::kBool) return at::ones(form.sizes, at::kBool);
    if (at::isIntegralType(form.dtype, false))
        return at::randint(0, std::max<int64_t>(form.bound, 1), form.sizes, at::kLong).to(form.dtype);
    return at::randn(form.sizes).to(form.dtype);
}

// What freezing made constants of, those that are looked up in first.
struct Constants {
    std::vector<at::Tensor> tables;
    std::vector<at::Tensor> weights;
};

void collect_constants(const torch::jit::Block* block, Constants& found) {
    for (const torch::jit::Node* node : block->nodes()) {
        for (const torch::jit::Block* inner : node->blocks())
            collect_constants(inner, found);
        for (const torch::jit::Value* input : node->inputs()) {
            const auto value = torch::jit::toIValue(input);
            if (!value || !value->isTensor() || !value->toTensor().defined()) continue;
            const bool table = node->kind() == c10::aten::embedding && input == node->input(0);
            (table ? found.tables : found.weights).push_back(value->toTensor());
        }
    }
}

Constants constants_of(const Module& model, const std::string& method) {
    Constants found;
    const auto& function = model.get_method(method).function();
    if (function.isGraphFunction())
        collect_constants(torch::jit::toGraphFunction(function).graph()->block(), found);
    return found;
}

// The numbers of rows of the model's embeddings, most first, and 2 for flags.
std::vector<int64_t> bounds(const Module& model, const std::string& method) {
    std::set<int64_t, std::greater<>> rows{2};
    for (const auto& module : model.modules()) {
        const auto name = module.type()->name();
        if (!name || name->name().find("mbedding") == std::string::npos || !module.hasattr("weight"))
            continue;
        const auto weight = module.attr("weight");
        if (weight.isTensor() && weight.toTensor().dim() == 2) rows.insert(weight.toTensor().size(0));
    }
    for (const auto& table : constants_of(model, method).tables)
        if (table.dim() == 2) rows.insert(table.size(0));
    return {rows.begin(), rows.end()};
}

// What torch.jit.trace noted about its example: shapes and dtypes, no values.
std::optional<Values> traced_inputs(const std::filesystem::path& archive, const std::string& method) {
    try {
        caffe2::serialize::PyTorchStreamReader reader(archive.string());
        if (!reader.hasRecord("traced_inputs.pkl")) return std::nullopt;
        const auto inputs = torch::jit::readArchiveAndTensors(
            "traced_inputs", "", "traced_inputs/", std::nullopt, std::nullopt, std::nullopt, reader);
        const auto dict = inputs.toGenericDict();
        const auto found = dict.find(method);
        if (found == dict.end()) return std::nullopt;
        return found->value().toListRef().vec();
    } catch (const std::exception&) {
        return std::nullopt;
    }
}

enum class Answer { fails, runs, finite };

Answer attempt(Module& model, const std::string& method, const Values& inputs) {
    try {
        const torch::jit::GraphOptimizerEnabledGuard no_optimization(false);
        return all_finite(run_method(model, method, inputs)) ? Answer::finite : Answer::runs;
    } catch (const std::exception&) {
        return Answer::fails;
    }
}

// The best inputs seen so far.
class Search {
  public:
    Search(Module& model, std::string method) : m_model(model), m_method(std::move(method)), m_state(model) {}
    /// Whether the search is over.
    bool consider(Values inputs) {
        if (++m_tries > most_tries) return true;
        const Answer answer = answer_to(inputs);
        if (answer == Answer::fails || (answer == Answer::runs && m_best)) return false;
        m_best = std::move(inputs);
        return answer == Answer::finite;
    }
    /// The best, with whole numbers from all of the range that the model takes where that has an end.
    std::optional<Values> best() && {
        if (m_best) widen();
        return std::move(m_best);
    }

  private:
    Answer answer_to(const Values& inputs) {
        const Answer answer = attempt(m_model, m_method, inputs);
        m_state.restore();
        return answer;
    }

    void widen() {
        const auto tensors = tensors_in(*m_best);
        if (std::none_of(tensors.begin(), tensors.end(), is_whole)) return;
        const auto rows = row_counts(m_model);
        const bool finite = answer_to(*m_best) == Answer::finite;
        for (std::size_t i = 0; i < tensors.size(); ++i) {
            if (!is_whole(tensors[i])) continue;
            const auto with = [&](const std::function<at::Tensor(const at::Tensor&)>& change) {
                return with_numbered_tensors(*m_best, [&](const at::Tensor& t, std::size_t number) {
                    return number == i ? change(t) : t;
                });
            };
            const auto takes = [&](int64_t value) {
                return answer_to(with([&](const at::Tensor& t) { return at::full_like(t, value); })) !=
                       Answer::fails;
            };
            // Other ends than a matrix's are those of inputs, which other sizes move.
            const auto most = largest_taken(takes, tensors[i].max().item<int64_t>(), rows, false);
            if (!most) continue;
            auto wider = with([&](const at::Tensor& t) { return spread(t, 0, *most); });
            const Answer answer = answer_to(wider);
            if (answer == Answer::finite || (answer == Answer::runs && !finite)) m_best = std::move(wider);
        }
    }

    Module& m_model;
    std::string m_method;
    KeptState m_state;
    std::optional<Values> m_best;
    std::size_t m_tries = 0;
};

bool is_mask(const std::string& name) {
    return name.find("mask") != std::string::npos;
}

// Tensors of the shapes that the trace noted, with values that suit: masks are all ones, indices are in
// range.
std::optional<Values> like_traced(Module& model, const std::string& method, const Values& noted) {
    const auto schema = model.get_method(method).function().getSchema();
    Search search(model, method);
    const auto with_bound = [&](int64_t bound) {
        Values inputs;
        for (std::size_t i = 0; i < noted.size(); ++i) {
            const std::string name =
                i + 1 < schema.arguments().size() ? schema.arguments()[i + 1].name() : std::string();
            inputs.push_back(with_tensors(noted[i], [&](const at::Tensor& tensor) {
                if (c10::multiply_integers(tensor.sizes()) > most_elements)
                    throw std::length_error("larger than any example");
                if (is_mask(name)) return at::ones(tensor.sizes(), tensor.scalar_type());
                return make({tensor.sizes().vec(), tensor.scalar_type(), bound});
            }));
        }
        return inputs;
    };
    try {
        for (const auto bound : bounds(model, method)) {
            if (search.consider(with_bound(bound))) break;
        }
    } catch (const std::length_error&) {
        return std::nullopt;
    }
    return std::move(search).best();
}

// Forms that the shapes of the model's weights suggest, likely ones first.
std::vector<Form> suggested_forms(const Module& model, const std::string& method) {
    std::vector<Form> forms;
    const auto add = [&](Form form) {
        const bool known = std::any_of(forms.begin(), forms.end(), [&](const Form& other) {
            return other.sizes == form.sizes && other.dtype == form.dtype && other.bound == form.bound;
        });
        if (!known) forms.push_back(std::move(form));
    };
    auto dtype = at::kFloat;
    std::vector<at::Tensor> weights;
    for (const auto& parameter : model.named_parameters())
        weights.push_back(parameter.value);
    const auto constants = constants_of(model, method).weights;
    weights.insert(weights.end(), constants.begin(), constants.end());
    for (const auto& weight : weights) {
        if (!weight.is_floating_point() || weight.dim() == 0) continue;
        dtype = weight.scalar_type();
        const int64_t width = weight.dim() > 0 ? weight.size(-1) : 1;
        if (weight.dim() == 4) {
            for (const int64_t groups : {int64_t{1}, weight.size(0)}) {
                add({{2, weight.size(1) * groups, 32, 32}, dtype, 0});
            }
        } else if (weight.dim() == 3) {
            add({{2, weight.size(1), 32}, dtype, 0});
        } else if (weight.dim() > 0) {
            add({{2, 16, width}, dtype, 0});
            add({{8, width}, dtype, 0});
        }
    }
    // Only what is looked up in is given whole numbers before others: most code that takes them, such as an
    // activation's, is meant for floating ones.
    std::vector<Form> all;
    for (const auto bound : bounds(model, method))
        if (bound > 2) all.push_back({{2, 16}, at::kLong, bound});
    all.insert(all.end(), forms.begin(), forms.end());
    for (auto& sizes : std::vector<std::vector<int64_t>>{{2, 16, 64}, {8, 64}, {2, 3, 32, 32}, {2, 16}, {16}})
        all.push_back({sizes, dtype, 0});
    all.push_back({{2, 16}, at::kLong, 2});
    return all;
}

std::vector<at::Tensor> masks_for(const Form& form) {
    std::vector<at::Tensor> masks;
    const at::IntArrayRef all(form.sizes);
    for (const auto dtype : {at::kLong, at::kBool}) {
        if (all.size() > 1) masks.push_back(at::ones(all.slice(0, all.size() - 1), dtype));
        masks.push_back(at::ones(all, dtype));
    }
    return masks;
}

std::optional<Values> by_trying(Module& model, const std::string& method) {
    const auto schema = model.get_method(method).function().getSchema();
    Values inputs;
    std::vector<std::size_t> tensors;
    std::set<std::size_t> masks;
    for (std::size_t i = 1; i < schema.arguments().size(); ++i) {
        const auto& argument = schema.arguments()[i];
        const auto type = argument.type();
        if (argument.default_value()) {
            inputs.push_back(*argument.default_value());
        } else if (type->kind() == c10::TypeKind::TensorType) {
            if (is_mask(argument.name())) masks.insert(inputs.size());
            tensors.push_back(inputs.size());
            inputs.emplace_back();
        } else if (type->kind() == c10::TypeKind::OptionalType) {
            inputs.emplace_back();
        } else if (type->kind() == c10::TypeKind::IntType) {
            inputs.emplace_back(1);
        } else if (type->kind() == c10::TypeKind::FloatType) {
            inputs.emplace_back(1.0);
        } else if (type->kind() == c10::TypeKind::BoolType) {
            inputs.emplace_back(false);
        } else {
            return std::nullopt;
        }
    }
    const auto forms = suggested_forms(model, method);
    Search search(model, method);
    const auto try_forms = [&](const std::vector<std::size_t>& choice) {
        for (std::size_t i = 0; i < tensors.size(); ++i)
            inputs[tensors[i]] = make(forms[choice[i]]);
        return search.consider(inputs);
    };
    // Masks of ones first, with a flag for each row or each element of the others; then all arguments alike,
    // then every combination.
    for (std::size_t form = 0; form < forms.size() && !masks.empty(); ++form) {
        for (auto& mask : masks_for(forms[form])) {
            for (const auto place : tensors)
                inputs[place] = masks.contains(place) ? mask : make(forms[form]);
            if (search.consider(inputs)) return std::move(search).best();
        }
    }
    for (std::size_t form = 0; form < forms.size(); ++form) {
        if (try_forms(std::vector<std::size_t>(tensors.size(), form))) return std::move(search).best();
    }
    if (tensors.size() < 2) return std::move(search).best();
    std::vector<std::size_t> choice(tensors.size(), 0);
    while (!try_forms(choice)) {
        std::size_t place = choice.size();
        while (place > 0 && ++choice[place - 1] == forms.size())
            choice[--place] = 0;
        if (place == 0) break;
    }
    return std::move(search).best();
}

}  // namespace

std::optional<Values> infer_inputs(const Module& given, const std::filesystem::path& archive,
                                   std::uint64_t seed, const std::string& method) {
    at::manual_seed(seed);
    Module model = given;
    if (const auto noted = traced_inputs(archive, method)) {
        if (auto inputs = like_traced(model, method, *noted)) return inputs;
    }
    return by_trying(model, method);
}

}  // namespace kernels::torchscript
