#include "attention_functions.hpp"

#include "graph_calls.hpp"
#include "hub_compilation.hpp"
#include "package_values.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

// What `sdpa` computes, in the words of the front end: heads of keys and values are shared as the layer says,
// without a mask it is causal where the call or the layer says so, and the result is (batch, length, heads,
// width). A layer without is_causal would be a causal one in Python; in a traced layer, which has lost its
// flags, that would be a guess.
constexpr const char* sdpa_source = R"(
import torch
import torch.nn.functional as F

def sdpa(module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
         attention_mask: torch.Tensor | None, dropout: float = 0.0, scaling: float | None = None,
         is_causal: bool | None = None, position_bias: torch.Tensor | None = None,
         softcap: float | None = None, **unused):
    if position_bias is not None:
        raise ValueError("sdpa with a position bias")
    if softcap is not None:
        raise ValueError("sdpa has no softcap")
    shared = False
    if hasattr(module, "num_key_value_groups"):
        shared = module.num_key_value_groups > 1
    causal = module.is_causal if is_causal is None else is_causal
    causal = causal and attention_mask is None and query.shape[2] > 1
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, dropout_p=dropout,
                                         is_causal=causal, scale=scaling, enable_gqa=shared)
    return out.transpose(1, 2).contiguous(), None
)";

source::FunctionSource sdpa() {
    static const auto package = std::make_shared<const source::Package>(
        "attention", [](const std::string& file) -> std::optional<std::string> {
            return file == "sdpa.py" ? std::optional<std::string>(sdpa_source) : std::nullopt;
        });
    const auto* module = package->module("sdpa");
    return {package, module, package->lookup(*module, "sdpa").statement};
}

struct AttentionFunctions final : SugaredValue {
    explicit AttentionFunctions(HubCompilation& in) : compilation(in) {}
    std::string kind() const override { return "the attention functions of transformers"; }
    std::shared_ptr<SugaredValue> attr(const SourceRange& where, GraphFunction&,
                                       const std::string& field) override {
        if (field == "get_interface") return shared_from_this();
        refuse(where, "ALL_ATTENTION_FUNCTIONS." + field);
    }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue>,
                                       size_t) override {
        return chosen(where, args.at(0).value(*method.graph()));
    }
    std::shared_ptr<SugaredValue> getitem(const SourceRange& where, GraphFunction&, Value* name,
                                          TypePtr) override {
        return chosen(where, name);
    }
    std::shared_ptr<SugaredValue> chosen(const SourceRange& where, Value* name) const {
        const auto constant = toIValue(name);
        if (!constant || !constant->isString()) {
            refuse(where, "which attention function it calls is not known when it is compiled");
        }
        if (constant->toStringRef() != "sdpa") {
            refuse(where,
                   "the attention function " + constant->toStringRef() +
                       " is Python code outside the kernel, which TorchScript cannot call; sdpa can be");
        }
        return function_value(compilation.shared_from_this(), sdpa());
    }
    HubCompilation& compilation;
};

}  // namespace

std::shared_ptr<SugaredValue> attention_functions(const std::string& path, HubCompilation& compilation) {
    if (path != "transformers.modeling_utils.ALL_ATTENTION_FUNCTIONS") return nullptr;
    return std::make_shared<AttentionFunctions>(compilation);
}

}  // namespace kernels::torchscript
