#include "shared_places.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>

#include "graph_calls.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

class Places {
  public:
    void share(Node* node) {
        const SourceRange here = node->sourceRange();
        if (here.source() == nullptr) return;
        const SourceRange place = here.findSourceRangeThatGenerated().value_or(here);
        node->setSourceRange(SourceRange(once(place.source()), place.start(), place.end()));
    }

  private:
    std::shared_ptr<Source> once(const std::shared_ptr<Source>& source) {
        return m_sources
            .try_emplace({source->text_str().str(), source->filename(), source->starting_line_no()}, source)
            .first->second;
    }

    std::map<std::tuple<std::string, std::optional<std::string>, std::size_t>, std::shared_ptr<Source>>
        m_sources;
};

}  // namespace

void share_places(const Module& module) {
    Places places;
    const auto share_ends = [&](Block* block) {
        places.share(block->param_node());
        places.share(block->return_node());
    };
    for (auto* graph : graphs_of(module)) {
        share_ends(graph->block());
        for_each_node(graph->block(), [&](Node* node) {
            places.share(node);
            for (Block* inner : node->blocks())
                share_ends(inner);
        });
    }
}

}  // namespace kernels::torchscript
