"""The norm that the models of the tests hold."""

import torch
import torch.nn as nn

SIZE = 8


class Norm(nn.Module):
    def __init__(self, eps: float = 1e-2):
        super().__init__()
        self.weight = nn.Parameter(1 + 0.3 * torch.randn(SIZE))
        self.variance_epsilon = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))


class Block(nn.Module):
    def __init__(self, norm: nn.Module):
        super().__init__()
        self.norm = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.norm(x)
