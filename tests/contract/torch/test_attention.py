"""A layer that chooses its attention function by name from transformers: compiled, and equal to what transformers gives."""

import shutil
import sys
import unittest

import harness
from trial_world import KERNELS, TrialTest

harness.need_modules("transformers")

LAYER = """
class Attention(nn.Module):
    def forward(self, query, key, value, attention_mask=None):
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, self.eager_attention)
        out, weights = attend(self, query, key, value, attention_mask, dropout=0.5 if self.training else 0.0,
                              scaling=self.scaling, sliding_window=getattr(self, "sliding_window", None))
        return out
"""

PROJECT = """
[[layers]]
name = "Attention"
device = "cpu"
path = "trial-kernels"
layer = "Attention"

[[bindings]]
layer = "Attention"
class = "*Attention"
{attributes}
"""

MODEL = """
import sys, torch
from typing import Optional

class Attention(torch.nn.Module):
    def __init__(self, groups: int, causal: bool):
        super().__init__()
        self.num_key_value_groups = groups
        self.is_causal = causal
        self.scaling = 0.25

    def forward(self, query, key, value, attention_mask: Optional[torch.Tensor] = None):
        key = key.repeat_interleave(self.num_key_value_groups, 1)
        value = value.repeat_interleave(self.num_key_value_groups, 1)
        scores = query @ key.transpose(2, 3) * self.scaling
        if attention_mask is not None:
            scores = scores + attention_mask
        elif self.is_causal:
            allowed = torch.ones(scores.shape[2], scores.shape[3], dtype=torch.bool).tril()
            scores = scores.masked_fill(~allowed, float("-inf"))
        return (scores.softmax(-1) @ value).transpose(1, 2).contiguous()

class Model(torch.nn.Module):
    def __init__(self, groups: int, causal: bool):
        super().__init__()
        self.attention = Attention(groups, causal)

    def forward(self, query, key, value, attention_mask: Optional[torch.Tensor] = None):
        return self.attention(query, key, value, attention_mask)

torch.jit.script(Model(int(sys.argv[2]), sys.argv[3] == "causal").eval()).save(sys.argv[1])
"""

COMPARE = """
import json, sys, torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward
model = torch.jit.load(sys.argv[1])
calls = [node for node in model.attention.inlined_graph.findAllNodes("aten::scaled_dot_product_attention")]
module = torch.nn.Module()
module.num_key_value_groups = int(sys.argv[2])
module.is_causal = sys.argv[3] == "causal"
module.eval()
torch.manual_seed(0)
largest = 0.0
for length in (1, 5):
    query = torch.randn(2, 4, length, 8)
    key, value = torch.randn(2, 2, 2, length, 8) if module.num_key_value_groups == 2 else torch.randn(2, 2, 4, length, 8)
    for mask in (None, torch.randn(2, 1, length, length)):
        expected, _ = sdpa_attention_forward(module, query, key, value, mask, dropout=0.0, scaling=0.25)
        largest = max(largest, float((model(query, key, value, mask) - expected).abs().max()))
print(json.dumps([len(calls), largest]))
"""


class AttentionTest(TrialTest):
    layers = ("RMSNorm",)

    def setUp(self):
        super().setUp()
        copy = self.folder / "trial-kernels"
        shutil.copytree(self.repository, copy)
        layers = next(copy.rglob("layers.py"))
        layers.write_text(layers.read_text() + LAYER)
        (self.folder / "model.py").write_text(MODEL)

    def project(self, attributes):
        (self.folder / "kernels.toml").write_text(PROJECT.format(attributes=attributes))

    def kernelize_attention(self, *options, status=0):
        return self.run_command(KERNELS, "kernelize", "model.pt", "-o", "out.pt", "--project", self.folder, "--device", "cpu",
                                "--use-fallback", "none", *options, status=status)

    def test_sdpa_is_what_transformers_computes(self):
        self.project('attributes = { "config._attn_implementation" = "sdpa" }')
        for groups, causal in ((1, "causal"), (2, "causal"), (2, "all")):
            with self.subTest(groups=groups, causal=causal):
                self.run_command(sys.executable, "model.py", "model.pt", groups, causal)
                self.kernelize_attention()
                calls, largest = self.run_python(COMPARE, "out.pt", groups, causal)
                self.assertEqual(calls, 1)
                self.assertLess(largest, 1e-6)

    def test_without_the_name_it_is_refused(self):
        self.run_command(sys.executable, "model.py", "model.pt", 1, "causal")
        for attributes, words in (("", "needs the attribute config._attn_implementation"),
                                  ('attributes = { "config._attn_implementation" = "flex_attention" }',
                                   "the attention function flex_attention is Python code outside the kernel")):
            self.project(attributes)
            done = self.kernelize_attention(status=8)
            self.assertIn(words, done.stderr)
            self.assertFalse((self.folder / "out.pt").exists())


if __name__ == "__main__":
    unittest.main()
