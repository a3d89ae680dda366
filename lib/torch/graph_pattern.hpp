// Finding layers in graphs whose classes are gone: frozen and inlined models.
#pragma once

#include <torch/csrc/jit/ir/ir.h>
#include <torch/script.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "kernels/torch/kernelize.hpp"
#include "rewrite.hpp"

namespace kernels::torchscript {

/// A reference layer and the same with the kernel's forward, for comparing them.
struct MatchedLayer {
    torch::jit::Module reference;
    torch::jit::Module replaced;
    std::optional<std::size_t> element;  ///< of what it returns, where tracing lifted further values out
};

/// Where a match has an attribute of the reference: a constant, or the path of an attribute of the module.
using AttributeSource = std::variant<c10::IValue, std::string>;

/// A part of a graph that was replaced. Values are named by their place among values_in() of the graph as it
/// was before anything was replaced.
struct PatternMatch {
    std::string row;  ///< its module in the report: "forward[0]", with the path of the module before it
    std::string module;
    std::string method;
    std::vector<std::optional<std::size_t>> arguments;  ///< of the reference; none where it does not use it
    std::vector<std::size_t> results;
    std::map<std::string, AttributeSource> attributes;  ///< of the reference
    std::optional<int64_t> rank;  ///< of the tensors, the only one for which the forms are the same
    std::shared_ptr<const MatchedLayer> layer;
};

/// The values of a graph, inputs first, in an order that copies of the graph share.
std::vector<torch::jit::Value*> values_in(torch::jit::Graph& graph);

/// Looks for layers in all methods that the model comes to but those that kernels have the place of already.
class PatternSearch {
  public:
    explicit PatternSearch(const torch::jit::Module& model);
    ~PatternSearch();
    PatternSearch(const PatternSearch&) = delete;
    PatternSearch& operator=(const PatternSearch&) = delete;

    /// Replaces what computes the same as the forward of `reference` by the hub layer. The reference's graph
    /// is normalized as freezing does it. Its inputs match any value; its parameters, buffers excepted, and
    /// float attributes match constants and attributes of the model, which the hub layer gets in their place;
    /// everything else must be equal. Where something between its first and last step changes values in
    /// place, nothing is replaced.
    ///
    /// Throws Error(kernelize) with the reason when the hub layer cannot take the place of the reference.
    std::vector<std::shared_ptr<const PatternMatch>> replace(const torch::jit::Module& reference,
                                                             const LayerSource& hub_layer,
                                                             const KernelLayer& kernel, const Given& given);

  private:
    class Numbers;
    struct Place {
        std::string path;
        torch::jit::Module module;
        std::string method;
        torch::jit::Graph* graph;
    };
    torch::jit::Module m_model;
    std::vector<Place> m_places;
    std::map<const torch::jit::Graph*, std::unique_ptr<Numbers>> m_numbers;
    std::size_t m_count = 0;  // of matches
};

}  // namespace kernels::torchscript
