import torch
import torch.nn as nn

from ._ops import ops


class SiluAndMul(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        d = x.shape[-1] // 2
        out = torch.empty(x.shape[:-1] + (d,), dtype=x.dtype, device=x.device)
        ops.silu_and_mul(out, x)
        return out


class ReLU(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ops.relu(x)


class Unknown(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ops.not_in_the_library(x)
