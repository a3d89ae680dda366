import torch
import torch.nn.functional as F
from torch import nn
class Base(nn.Module):
    can_torch_compile = True
    def forward(self, x):
        return self.child(F.silu(x)) * self.weight
class Derived(Base):
    has_backward = False
class Gate(nn.Module):
    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None, *, causal: bool = False, **kwargs):
        assert isinstance(x, torch.Tensor), f"no tensor: {x}"
        if hasattr(self, "bias") and self.training:
            x = x + self.bias
        with torch.no_grad():
            y = F.softmax(x, dim=-1, dtype=torch.float32).to(x.dtype)
        if mask is not None and not causal:
            y = y.masked_fill(mask == 0, float("-inf"))
        elif x.dtype in (torch.float16, torch.bfloat16):
            raise ValueError("the dtype {} is not supported".format(x.dtype))
        return torch.where(y > 0, y, kwargs.get("other", x)) if x.numel() else x.new_empty(0)
