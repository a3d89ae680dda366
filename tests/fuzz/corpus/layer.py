"""A layer with what layers have."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from typing import Optional, TYPE_CHECKING

from ._ops import ops
from .helpers import scale as scaled, EPS

if TYPE_CHECKING:
    from . import nothing


class Twice(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda")
    def forward(ctx, x, factor=2.0):
        ctx.factor, ctx.size = factor, x.shape
        ctx.save_for_backward(x)
        return torch.mul(x, ctx.factor)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * ctx.factor, None


class L(nn.Module):
    can_torch_compile: bool = True
    weight: torch.Tensor

    def forward(self, x: torch.Tensor, y: "torch.Tensor | None" = None, *, flag=True, **kwargs) -> tuple[torch.Tensor, int]:
        """Does
        it."""
        n = kwargs.pop("n", 0x10)
        if y is None and not torch.compiler.is_compiling():
            y = torch.empty(*x.shape[:-1], 2, dtype=x.dtype, device=x.device)
        elif 1 < n <= 3_000:
            y = F.silu(x) if flag else -x ** 2
        a, *b = x.shape
        with torch.no_grad():
            z = Twice.apply(x, 3.0)
        for i in range(n):
            z += self.weight[..., None, ::2].sum(-1) * i
        assert z.dim() > 0, f"{z.shape!r} is {{none}}: {a:>3}"
        return scaled(z, EPS) + getattr(self, "bias", 0), len(b)

#file helpers.py
from dataclasses import dataclass
import math
import triton
import triton.language as tl

EPS: float = 1e-6 * math.sqrt(4)

@triton.jit
def kernel(x_ptr, n: tl.constexpr):
    pass

@dataclass
class Pair:
    a: int
    b: float = 2.0

def scale(x, factor, pair=None):
    global NOTHING
    if pair is None:
        pair = Pair(1)
    return x * factor + pair.b
