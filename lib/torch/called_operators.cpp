#include "called_operators.hpp"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/frontend/function_schema_parser.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <algorithm>
#include <limits>

#include "graph_calls.hpp"

namespace kernels::torchscript {
namespace {

using Calls = std::map<std::string, int>;

void add(Calls& calls, const Calls& more) {
    for (const auto& [name, count] : more) {
        int& sum = calls[name];
        sum = count > std::numeric_limits<int>::max() - sum ? std::numeric_limits<int>::max() : sum + count;
    }
}

// Counts each function once, however many paths of calls lead to it.
class Counter {
  public:
    const Calls& of(const torch::jit::Function& function) {
        constexpr int deepest = 200;
        const auto [known, is_new] = m_known.try_emplace(&function);
        Calls& calls = known->second;
        if (!is_new || m_depth >= deepest || !function.isGraphFunction()) return calls;
        ++m_depth;
        count(torch::jit::toGraphFunction(function).graph()->block(), calls);
        --m_depth;
        return calls;
    }

  private:
    void count(const torch::jit::Block* block, Calls& calls) {
        for (const auto* node : block->nodes()) {
            for (const auto* inner : node->blocks())
                count(inner, calls);
            if (const auto* called = function_called(node)) {
                add(calls, of(*called));
            } else if (!node->kind().is_aten() && !node->kind().is_prim()) {
                add(calls, {{node->kind().toQualString(), 1}});
            }
        }
    }

    std::map<const torch::jit::Function*, Calls> m_known;  // whose references stay
    int m_depth = 0;
};

// The schemas of the operators among `names` that are in the namespace; nothing when one cannot be written.
std::optional<std::vector<std::string>> schemas_of(const std::set<std::string>& names,
                                                   const std::string& op_namespace) {
    std::vector<std::string> schemas;
    const std::string prefix = op_namespace + "::";
    for (auto name = names.lower_bound(prefix); name != names.end() && name->starts_with(prefix); ++name) {
        for (const auto& op : torch::jit::getAllOperatorsFor(c10::Symbol::fromQualString(*name))) {
            schemas.push_back(c10::toString(op->schema()));
            try {
                const auto read = torch::jit::parseSchema(schemas.back(), /*allow_typevars=*/false);
                if (c10::toString(read) != schemas.back()) return std::nullopt;
            } catch (const std::exception&) {
                return std::nullopt;  // libtorch does not read all defaults that it writes
            }
        }
    }
    std::sort(schemas.begin(), schemas.end());
    return schemas;
}

}  // namespace

std::map<std::string, int> operators_called(const torch::jit::Function& function) {
    return Counter().of(function);
}

std::set<std::string> operators_called(const torch::jit::Module& model) {
    Counter counter;
    std::set<std::string> names;
    std::set<const c10::ClassType*> seen;
    for (const auto& module : model.modules()) {
        if (!seen.insert(module.type().get()).second) continue;
        for (const auto& method : module.get_methods()) {
            for (const auto& [name, count] : counter.of(method.function()))
                names.insert(name);
        }
    }
    return names;
}

void note_operators(const torch::jit::Module& model, runtime::Manifest& manifest) {
    const auto names = operators_called(model);
    for (auto& kernel : manifest.kernels)
        kernel.operators = schemas_of(names, kernel.op_namespace);
}

}  // namespace kernels::torchscript
