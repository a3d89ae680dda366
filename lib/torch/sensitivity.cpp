#include "sensitivity.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "graph_calls.hpp"
#include "graph_run.hpp"
#include "in_double.hpp"
#include "input_masks.hpp"
#include "kept_state.hpp"
#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

constexpr int tries = 8;
constexpr int tries_of_choices = 32;  // each comes out the other way in half of them, or fewer

// Infinities and NaN stay, and so do zeros and flags: they are no results of roundings, and code asks for
// them.
at::Tensor moved(const at::Tensor& tensor, double most) {
    if (!tensor.is_floating_point() || is_flags(tensor)) return tensor.clone();
    const auto values = tensor.to(at::kDouble);
    const auto finite = values.masked_fill(values.isfinite().logical_not(), 0);
    const double mean = values.numel() == 0 ? 0 : finite.abs().mean().item<double>();
    const double rounding = std::min(rounding_of(tensor.scalar_type()), most);
    const auto step = ((finite.abs() + mean) * rounding + 1e-12).masked_fill(finite.eq(0), 0);
    return values + at::randn_like(finite) * step;
}

bool chooses(const Node* node) {
    static const std::set<Symbol> kinds{
        Symbol::aten("topk"),   Symbol::aten("sort"), Symbol::aten("argsort"), Symbol::aten("argmax"),
        Symbol::aten("argmin"), Symbol::aten("max"),  Symbol::aten("min"),     Symbol::aten("kthvalue")};
    return kinds.contains(node->kind()) && node->input(0)->type()->isSubtypeOf(*TensorType::get());
}

std::vector<Node*> choices_in(const Module& module) {
    std::vector<Node*> found;
    for (Graph* graph : graphs_of(module)) {
        for_each_node(graph->block(), [&](Node* node) {
            if (chooses(node)) found.push_back(node);
        });
    }
    return found;
}

// x * (1 + noise) + noise in the place of x: a factor alone would leave zeros equal.
void break_ties_before(Node* node, double rounding) {
    Graph& graph = *node->owningGraph();
    const WithInsertPoint place(node);
    Value* const input = node->input(0);
    const auto noise = [&](double size) {
        Value* const like =
            graph.insert(aten::to, {input, graph.insertConstant(static_cast<int64_t>(at::kDouble))});
        return graph.insert(aten::mul, {graph.insert(aten::randn_like, {like}), graph.insertConstant(size)});
    };
    Value* const factor = graph.insert(aten::add, {noise(rounding), graph.insertConstant(1.0)});
    Value* const scaled = graph.insert(aten::mul, {input, factor});
    node->replaceInput(0, graph.insert(aten::add, {scaled, noise(1e-30)}));
}

Module without_ties(const Module& module, double rounding) {
    Module copy = module.clone(true);
    for (Node* node : choices_in(copy))
        break_ties_before(node, rounding);
    return copy;
}

// The distance of one result from another of its form; nothing where the form is another. Of whole numbers
// that are places of elements, one is as good as the other where equal elements come in another order.
at::Tensor distance(const at::Tensor& now, const at::Tensor& before, bool places) {
    const auto none = at::zeros(before.sizes(), at::kDouble);
    if (now.sizes() != before.sizes() || now.scalar_type() != before.scalar_type()) return none;
    if (before.is_complex() || before.is_quantized()) return none;
    if (places && !before.is_floating_point())
        return none.masked_fill(now.ne(before).cpu(), std::numeric_limits<double>::infinity());
    const auto wide = [](const at::Tensor& tensor) { return computable(tensor).cpu().to(at::kDouble); };
    return at::nan_to_num((wide(now) - wide(before)).abs(), 0.0, 0.0, 0.0);
}

}  // namespace

double rounding_of(at::ScalarType dtype) {
    switch (dtype) {
        case at::kHalf:
            return std::ldexp(1, -10);
        case at::kBFloat16:
            return std::ldexp(1, -7);
        case at::kFloat:
            return std::numeric_limits<float>::epsilon();
        default:
            return std::numeric_limits<double>::epsilon();
    }
}

bool chooses(const Module& module) {
    return !choices_in(module).empty();
}

double rounding_of(const std::vector<IValue>& arguments) {
    double rounding = 0;
    for (const auto& tensor : tensors_in(arguments))
        if (tensor.is_floating_point()) rounding = std::max(rounding, rounding_of(tensor.scalar_type()));
    return rounding;
}

IValue movement(const IValue& result, const std::function<IValue(int)>& of_try, bool places) {
    const auto results = tensors_in({result});
    const bool choices = std::any_of(results.begin(), results.end(), [](const at::Tensor& tensor) {
        return at::isIntegralType(tensor.scalar_type(), true) || tensor.element_size() == 1;
    });
    std::vector<at::Tensor> largest;
    for (const auto& tensor : results)
        largest.push_back(at::zeros(tensor.sizes(), at::kDouble));
    for (int i = 0; i < (choices || places ? tries_of_choices : tries); ++i) {
        std::vector<at::Tensor> now;
        try {
            now = tensors_in({of_try(i)});
        } catch (const std::exception&) {  // beyond what it takes
            continue;
        }
        for (std::size_t j = 0; j < results.size() && j < now.size(); ++j)
            largest[j] = at::maximum(largest[j], distance(now[j], results[j], places));
    }
    std::size_t next = 0;
    return with_tensors(result, [&](const at::Tensor&) { return largest[next++]; });
}

IValue sensitivity(const Module& original, const std::string& method, const std::vector<IValue>& arguments,
                   const IValue& result, std::uint64_t seed, Dtypes dtypes, double rounding) {
    const bool in_double = dtypes == Dtypes::in_double;
    const bool ties = in_double && chooses(original);  // which draw random numbers
    const auto moved_input = [&](const at::Tensor& tensor) {
        const auto values = moved(tensor, rounding);
        return in_double ? values : values.to(tensor.scalar_type());
    };
    Module module = ties ? without_ties(original, rounding) : original;
    const auto read = in_double ? dtypes_read(module, method, arguments) : DtypesRead();
    const KeptState state(module);
    const auto of_try = [&](int i) {
        const KeptState of_call(module);
        const auto other = static_cast<std::uint64_t>(i);
        at::manual_seed(seed + other);
        const auto given = with_tensors(arguments, moved_input);
        if (!ties) at::manual_seed(seed);
        if (in_double) return run_in_double(module, method, given, read);
        if (dtypes == Dtypes::as_named) return run_graph(module, method, given);
        return run_with_other_roundings(module, method, given, other);
    };
    return movement(result, of_try, ties);
}

}  // namespace kernels::torchscript
