import torch
import torch.nn as nn

from ._ops import ops
from .helpers import half, SCALE


class ReLU(nn.Module):
    can_torch_compile: bool = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        ops.relu(out, x)
        return out


class SiluAndMul(nn.Module):
    def forward(self, x: torch.Tensor):
        d = x.shape[-1] // 2
        out = torch.empty(x.shape[:-1] + (d,), dtype=x.dtype, device=x.device)
        ops.silu_and_mul(out, x)
        return out


class Scaled(nn.Module):
    def forward(self, x):
        gate, up = x.chunk(2, dim=-1)
        both = ops.both(gate)
        return ops.scale(both[0] + half(up, n=2), factor=SCALE * self.eps, bias=self.weight)
#file helpers.py
import math
import torch

SCALE = math.sqrt(2) / 2 ** 3 if 7 % 4 == 3 else 1 << 3
HALF: float = SCALE // 2

def half(x, *, n=2, wide: bool = False):
    if wide:
        return x.float()
    return x[..., : x.shape[-1] // n] * HALF + divmod(x.shape[0], n)[1]
