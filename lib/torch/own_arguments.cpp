#include "own_arguments.hpp"

#include <torch/csrc/jit/api/function_impl.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "graph_calls.hpp"
#include "kernels/core/text.hpp"
#include "original_forwards.hpp"
#include "original_source.hpp"

namespace kernels::torchscript {
using namespace torch::jit;

namespace {

// The same memory in the same form: what an archive holds twice is loaded as two tensors of one storage.
bool is_same_tensor(const at::Tensor& one, const at::Tensor& other) {
    if (!one.defined() || !other.defined() || one.numel() == 0) return false;
    if (one.is_same(other)) return true;
    return one.has_storage() && one.is_alias_of(other) && one.dtype() == other.dtype() &&
           one.is_conj() == other.is_conj() && one.is_neg() == other.is_neg() &&
           one.storage_offset() == other.storage_offset() && one.sizes() == other.sizes() &&
           one.strides() == other.strides();
}

std::set<std::string> paths_of(const at::Tensor& tensor, const Module& holder) {
    std::set<std::string> paths;
    for (const auto& attribute : holder.named_attributes(true))
        if (attribute.value.isTensor() && is_same_tensor(attribute.value.toTensor(), tensor))
            paths.insert(attribute.name);
    return paths;
}

const void* identity(const IValue& value) {
    if (value.isObject()) return value.toObject().get();
    return value.isTensor() ? value.toTensor().unsafeGetTensorImpl() : nullptr;
}

}  // namespace

const OwnArguments& OwnArgumentSearch::of(const Function& method) {
    static const OwnArguments none;
    if (!method.isGraphFunction() || method.getSchema().arguments().size() < 3 ||
        !may_be_traced(*toGraphFunction(method).graph()))
        return none;
    if (!std::exchange(m_walked, true)) {
        for (const auto& own : m_model.get_methods())
            if (!is_original(own.function())) walk(own.function(), {m_model._ivalue()});
        for (const auto& [name, arguments] : m_paths)
            for (std::size_t i = 1; m_all_known && i < arguments.size(); ++i)
                if (!arguments[i].empty()) m_found[name].emplace(i, *arguments[i].begin());
        m_seen.clear();
    }
    const auto found = m_found.find(method.qualname().qualifiedName());
    return found == m_found.end() ? none : found->second;
}

void OwnArgumentSearch::walk(const Function& function, const Known& inputs) {
    if (!function.isGraphFunction()) return;
    std::vector<const void*> identities;
    std::transform(inputs.begin(), inputs.end(), std::back_inserter(identities), identity);
    if (!m_seen.emplace(&function, std::move(identities)).second) return;
    walk(*toGraphFunction(function).graph(), inputs);
}

void OwnArgumentSearch::walk(Graph& graph, const Known& inputs) {
    std::map<const Value*, IValue> known;
    for (std::size_t i = 0; i < inputs.size(); ++i)
        if (!inputs[i].isNone()) known.emplace(graph.inputs().at(i), inputs[i]);
    walk(graph.block(), known);
}

void OwnArgumentSearch::walk(Block* block, std::map<const Value*, IValue>& known) {
    for (Node* node : block->nodes()) {
        const auto value_of = [&](const Value* value) {
            const auto found = known.find(value);
            return found == known.end() ? IValue() : found->second;
        };
        const auto inputs_from = [&](std::size_t first) {
            Known inputs;
            for (const Value* input : node->inputs().slice(first))
                inputs.push_back(value_of(input));
            return inputs;
        };
        if (node->kind() == prim::GetAttr) {
            const auto holder = value_of(node->input(0));
            if (!holder.isObject()) continue;
            const auto value = holder.toObjectRef().getAttr(node->s(attr::name));
            if (value.isObject() || value.isTensor()) known.emplace(node->output(), value);
        } else if (node->kind() == prim::CallMethod || node->kind() == prim::CallFunction) {
            const Function* called = function_called(node);
            if (called == nullptr) {
                m_all_known = false;
                continue;
            }
            const Known inputs = inputs_from(node->kind() == prim::CallFunction ? 1 : 0);
            if (node->kind() == prim::CallMethod) note_call(*called, inputs);
            walk(*called, inputs);
        } else if (node->kind() == prim::fork && node->hasAttribute(attr::Subgraph)) {
            walk(*node->g(attr::Subgraph), inputs_from(0));
        } else if (node->hasAttribute(attr::Subgraph) ||
                   (node->kind() == prim::SetAttr && node->input(1)->type()->kind() != TypeKind::IntType)) {
            m_all_known = false;  // it may call, or change what is held
        }
        for (Block* inner : node->blocks())
            walk(inner, known);
    }
}

void OwnArgumentSearch::note_call(const Function& method, const Known& inputs) {
    auto [noted, is_new] = m_paths.try_emplace(method.qualname().qualifiedName());
    auto& arguments = noted->second;
    arguments.resize(std::max(arguments.size(), inputs.size()));
    for (std::size_t i = 1; i < arguments.size(); ++i) {
        if (!is_new && arguments[i].empty()) continue;
        std::set<std::string> paths;
        if (i < inputs.size() && inputs[i].isTensor() && inputs[0].isModule())
            paths = paths_of(inputs[i].toTensor(), inputs[0].toModule());
        if (!is_new)
            std::erase_if(arguments[i], [&](const std::string& path) { return !paths.contains(path); });
        else
            arguments[i] = std::move(paths);
    }
}

void read_own(Graph& graph, const OwnArguments& own) {
    const WithInsertPoint beginning(*graph.nodes().begin());
    for (const auto& [place, path] : own) {
        Value* value = graph.inputs().at(0);
        for (const auto name : split(path, '.'))
            value = graph.insertGetAttr(value, std::string(name));
        graph.inputs().at(place)->replaceAllUsesWith(value);
    }
}

}  // namespace kernels::torchscript
