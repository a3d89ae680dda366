#include "matched_pair.hpp"

#include <torch/csrc/jit/api/function_impl.h>

#include <map>

#include "call_recorder.hpp"
#include "graph_run.hpp"
#include "kept_state.hpp"
#include "module_at.hpp"
#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

struct Watch {
    Node* after = nullptr;
    std::vector<Value*> values;
    int64_t number = 0;
};

std::optional<Watch> watch_of(const PatternMatch& match, int64_t number, const std::vector<Value*>& values) {
    Watch watch{nullptr, {}, number};
    for (const auto& argument : match.arguments) {
        if (!argument || *argument >= values.size()) return std::nullopt;
        watch.values.push_back(values[*argument]);
    }
    for (const auto result : match.results) {
        if (result >= values.size()) return std::nullopt;
        watch.values.push_back(values[result]);
        Node* node = values[result]->node();
        if (watch.after == nullptr || watch.after->isBefore(node)) watch.after = node;
    }
    if (watch.after == nullptr || watch.after->kind() == prim::Param) return std::nullopt;
    return watch;
}

}  // namespace

std::pair<Module, Module> modules_of(const PatternMatch& match, const Module& model) {
    const auto owner = module_at(model, match.module);
    const Module original = match.layer->reference.deepcopy();
    const Module replaced = match.layer->replaced.deepcopy();
    for (const auto& [name, source] : match.attributes) {
        const auto* path = std::get_if<std::string>(&source);
        IValue value = path != nullptr ? attribute_at(owner.value(), *path) : std::get<IValue>(source);
        // Traced code has numbers as tensors.
        if (value.isTensor() && attribute_at(original, name).isDouble())
            value = value.toTensor().item<double>();
        set_attribute_at(original, name, value);
        set_attribute_at(replaced, name, value);
    }
    return {original, replaced};
}

void watch_matches(const std::vector<std::shared_ptr<const PatternMatch>>& matches, const Module& model) {
    std::map<Graph*, std::vector<Value*>> values;
    std::vector<Watch> watches;
    for (std::size_t i = 0; i < matches.size(); ++i) {
        const auto owner = module_at(model, matches[i]->module);
        if (!owner || !owner->find_method(matches[i]->method)) continue;
        auto* graph = toGraphFunction(owner->get_method(matches[i]->method).function()).graph().get();
        const auto [known, is_new] = values.try_emplace(graph);
        if (is_new) known->second = values_in(*graph);
        if (auto watch = watch_of(*matches[i], static_cast<int64_t>(i), known->second))
            watches.push_back(*std::move(watch));
    }
    // Only now, as this changes what values_in gives.
    for (const auto& watch : watches)
        watch_values(watch.after->next(), watch.values, watch.number);
}

std::string difference_from_model(const PatternMatch& match, Module& reference,
                                  const std::vector<IValue>& arguments, const std::vector<IValue>& results,
                                  const Tolerance& tolerance) {
    const std::string problem = "the model computes something else there than the reference: ";
    const KeptState state(reference);
    std::vector<IValue> given;
    try {
        given.push_back(run_graph(reference, "forward", with_tensors(arguments, exact_copy)));
    } catch (const std::exception& failure) {
        return problem + cause_of(failure);
    }
    if (given.front().isTuple()) given = given.front().toTupleRef().elements().vec();
    if (match.layer->element) given = {given.at(*match.layer->element)};
    if (given.size() != results.size()) return problem + "another number of results";
    for (std::size_t i = 0; i < given.size(); ++i) {
        const auto difference = compare(given[i], results[i], {tolerance});
        if (!difference.within) return problem + difference.problem;
    }
    return {};
}

}  // namespace kernels::torchscript
