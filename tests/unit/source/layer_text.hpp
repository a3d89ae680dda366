// Sources of a layer L, and what is read of them.
#pragma once

#include <string>

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "source/hub_module.hpp"
#include "source/lower.hpp"
#include "temporary_folder.hpp"

namespace kernels::source {

inline LayerSource layer_of(const std::string& text, const std::string& name = "L") {
    const testing::TemporaryFolder folder;
    write_file(folder / "layers.py", text);
    return HubModule::load(folder.path(), false).layer(name);
}

// What the forward of L becomes; the message when it is refused.
inline std::string lowered(const std::string& text) {
    try {
        const auto layer = layer_of(text);
        std::vector<ParameterPlan> plans;
        for (const auto& parameter : layer.forward.definition->parameters) {
            if (&parameter != layer.forward.definition->parameters.data() && parameter.stars == 0)
                plans.push_back({parameter.name});
        }
        return lower(layer.forward, "f", plans).text;
    } catch (const Error& error) {
        return error.what();
    }
}

inline std::string repeated(const std::string& text, std::size_t times) {
    std::string all;
    for (std::size_t i = 0; i < times; ++i)
        all += text;
    return all;
}

inline const std::string head = "class L(nn.Module):\n  def forward(self, x):\n";

// The body of L.forward(self, x), which stands on line 3 and later.
inline std::string body(const std::string& statements) {
    const std::string text = lowered(head + statements);
    const std::string start = "def f(self, x):\n";
    return text.starts_with(start) ? text.substr(start.size()) : text;
}

}  // namespace kernels::source
