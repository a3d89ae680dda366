#include "in_double.hpp"

#include <functional>

#include "graph_calls.hpp"
#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

constexpr bool is_narrower_than_double(int64_t dtype) {
    return dtype == static_cast<int64_t>(at::kHalf) || dtype == static_cast<int64_t>(at::kBFloat16) ||
           dtype == static_cast<int64_t>(at::kFloat);
}

// Every constant that is a `dtype` argument of torch's operators: node, place among its inputs, dtype.
using Visit = std::function<void(Node*, std::size_t, int64_t)>;

void visit_dtypes(const Module& module, const Visit& visit) {
    for (Graph* graph : graphs_of(module)) {
        for_each_node(graph->block(), [&](Node* node) {
            const auto* schema = node->kind().is_aten() ? node->maybeSchema() : nullptr;
            if (schema == nullptr) return;
            for (std::size_t i = 0; i < node->inputs().size() && i < schema->arguments().size(); ++i) {
                if (schema->arguments()[i].name() != "dtype") continue;
                const auto value = toIValue(node->input(i));
                if (value && value->isInt()) visit(node, i, value->toInt());
            }
        });
    }
}

// With code of its own that computes in float64, and the module's own tensors.
Module rewritten(const Module& module) {
    const Module copy = module.clone(true);
    visit_dtypes(copy, [](Node* node, std::size_t place, int64_t dtype) {
        if (!is_narrower_than_double(dtype)) return;
        const WithInsertPoint before(node);
        node->replaceInput(place, node->owningGraph()->insertConstant(static_cast<int64_t>(at::kDouble)));
    });
    return copy;
}

// Copies of all that `from` holds, to a module whose class has the same attributes.
void give_attributes(const Module& from, Module& to) {
    const auto type = from.type();
    for (std::size_t i = 0; i < type->numAttributes(); ++i) {
        const std::string& name = type->getAttributeName(i);
        const IValue value = from.attr(name);
        if (value.isModule()) {
            Module inner = to.attr(name).toModule();
            give_attributes(value.toModule(), inner);
        } else {
            to.setattr(name, value.deepcopy());
        }
    }
}

}  // namespace

bool converts_to(const Module& module, at::ScalarType dtype) {
    bool found = false;
    visit_dtypes(module, [&](const Node* node, std::size_t, int64_t named) {
        found = found || (node->kind() == aten::to && named == static_cast<int64_t>(dtype));
    });
    return found;
}

Module DoubleCopies::of(const Module& module) {
    bool names_dtypes = false;
    visit_dtypes(module, [&](const Node*, std::size_t, int64_t dtype) {
        names_dtypes = names_dtypes || is_narrower_than_double(dtype);
    });
    Module copy;
    if (names_dtypes) {
        auto known = m_rewritten.find(module.type());
        if (known == m_rewritten.end()) known = m_rewritten.emplace(module.type(), rewritten(module)).first;
        copy = known->second.deepcopy();
        give_attributes(module, copy);
    } else {
        copy = module.deepcopy();  // which shares the code
    }
    convert(copy, at::kDouble);
    return copy;
}

}  // namespace kernels::torchscript
