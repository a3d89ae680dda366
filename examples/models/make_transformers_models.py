"""Traces small models of the transformers package with random weights, and saves them with an input.

Usage: make_transformers_models.py FOLDER [FAMILY...]

Writes FOLDER/FAMILY-float32.pt, FOLDER/FAMILY-bfloat16.pt, and FOLDER/tokens.pt. Nothing is downloaded.
"""

import importlib
import pathlib
import sys
import warnings

import torch

COMMON = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
              max_position_embeddings=64, pad_token_id=0)
GROUPED = dict(COMMON, num_key_value_heads=2)
HEADS = dict(GROUPED, head_dim=8)
# module of transformers.models, class of the model, class of its configuration, and what is set there. The epsilons are
# large enough to be seen in the results, and none is a default.
FAMILIES = {
    "llama": ("llama", "LlamaForCausalLM", "LlamaConfig", dict(GROUPED, rms_norm_eps=1e-3)),
    "qwen2": ("qwen2", "Qwen2ForCausalLM", "Qwen2Config", dict(GROUPED, rms_norm_eps=2e-3)),
    "qwen3": ("qwen3", "Qwen3ForCausalLM", "Qwen3Config", dict(HEADS, rms_norm_eps=2e-3)),
    "mistral": ("mistral", "MistralForCausalLM", "MistralConfig", dict(GROUPED, rms_norm_eps=3e-3)),
    "gemma": ("gemma", "GemmaForCausalLM", "GemmaConfig", dict(HEADS, rms_norm_eps=4e-3)),
    "gemma2": ("gemma2", "Gemma2ForCausalLM", "Gemma2Config", dict(HEADS, rms_norm_eps=4e-3)),
    "gemma3": ("gemma3", "Gemma3ForCausalLM", "Gemma3TextConfig", dict(HEADS, rms_norm_eps=4e-3)),
    "phi": ("phi", "PhiForCausalLM", "PhiConfig", dict(GROUPED, layer_norm_eps=5e-3)),
    "phi3": ("phi3", "Phi3ForCausalLM", "Phi3Config", dict(GROUPED, rms_norm_eps=6e-3)),
    "gpt_neox": ("gpt_neox", "GPTNeoXForCausalLM", "GPTNeoXConfig", dict(COMMON, layer_norm_eps=7e-3)),
    "bert": ("bert", "BertModel", "BertConfig", dict(COMMON, layer_norm_eps=8e-3)),
}


class FirstOutput(torch.nn.Module):
    """What tracing takes: tensors in, a tensor out."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model = model

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        # The caches are Python objects that tracing cannot hold.
        options = {} if hasattr(self.model, "pooler") else {"use_cache": False}
        return self.model(tokens, return_dict=False, **options)[0]


def make(family: str) -> torch.nn.Module:
    module, model_class, config_class, settings = FAMILIES[family]
    configuration = importlib.import_module(f"transformers.models.{module}.configuration_{module}")
    modeling = importlib.import_module(f"transformers.models.{module}.modeling_{module}")
    torch.manual_seed(0)
    model = getattr(modeling, model_class)._from_config(getattr(configuration, config_class)(**settings),
                                                        attn_implementation="eager").eval()
    # Norms start as ones and zeros, which would hide what a kernel makes of them.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return FirstOutput(model)


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    tokens = torch.randint(1, 64, (2, 9))
    torch.save(tokens, folder / "tokens.pt")
    for family in sys.argv[2:] or FAMILIES:
        model = make(family)
        for dtype in ("float32", "bfloat16"):
            with torch.no_grad():
                traced = torch.jit.trace(model.to(getattr(torch, dtype)), (tokens,), check_trace=False)
            traced.save(str(folder / f"{family}-{dtype}.pt"))
    print(f"wrote the models and tokens.pt to {folder}")


main()
