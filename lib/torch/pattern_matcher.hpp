// Finding the form of one graph in another.
#pragma once

#include <torch/csrc/jit/ir/ir.h>
#include <torch/script.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "canonical_step.hpp"

namespace kernels::torchscript {

/// What a match has for an attribute of the reference: a value of the model, or what was derived from one.
struct Bound {
    torch::jit::Value* value = nullptr;
    c10::IValue derived;

    std::optional<c10::IValue> constant() const;
};

struct Match {
    std::map<const torch::jit::Value*, torch::jit::Value*> values;  // of the pattern, in the model
    std::map<std::string, Bound> attributes;                        // of the reference
    std::set<torch::jit::Node*> nodes;
    std::vector<torch::jit::Value*> results;
    torch::jit::Node* last = nullptr;  // of the nodes of the results
    std::optional<int64_t> rank;       // of the tensors, where dimensions are counted in both ways
};

/// Finds what computes the same as the results of the pattern, a graph with self as its first input. Its
/// other inputs match any value; what it reads from self matches constants and attributes of the model;
/// everything else must be equal. Where something between the first and the last step changes values in
/// place, nothing matches.
class Matcher {
  public:
    Matcher(const torch::jit::Module& reference, const torch::jit::Graph& pattern,
            std::vector<torch::jit::Value*> results)
        : m_reference(reference), m_self(pattern.inputs().at(0)), m_results(std::move(results)) {}

    /// All matches in the graph.
    std::vector<Match> find_in(torch::jit::Graph& graph);

  private:
    std::optional<Match> match(torch::jit::Value* value);
    void find_in(torch::jit::Block* block, std::vector<Match>& found);
    bool find_also(torch::jit::Value* result);
    bool fits(torch::jit::Value* pattern, torch::jit::Value* value, Role role);
    bool fits_anew(torch::jit::Value* pattern, torch::jit::Value* value, Role role);
    bool fits_attribute(const std::string& name, torch::jit::Value* pattern, torch::jit::Value* value);
    bool fits_folded(torch::jit::Value* pattern, const at::Tensor& constant);
    bool equal(const c10::IValue& pattern, const c10::IValue& value, Role role);
    bool same_dimensions(const c10::IValue& pattern, const c10::IValue& value);
    bool bind(const std::string& name, const Bound& bound);
    std::optional<at::Tensor> own_tensor(const std::string& name) const;
    bool is_disturbed() const;
    bool is_used_before_last() const;

    const torch::jit::Module& m_reference;
    const torch::jit::Value* m_self;
    std::vector<torch::jit::Value*> m_results;
    torch::jit::Block* m_block = nullptr;
    Match m_match;
};

/// The value of a constant, also of one that is written as a list or tuple of constants.
std::optional<c10::IValue> constant_of(const torch::jit::Value* value);

/// The name below self of what is read there, "norm.weight"; empty for self; nothing for other values.
std::optional<std::string> attribute_name(const torch::jit::Value* value, const torch::jit::Value* self);

}  // namespace kernels::torchscript
