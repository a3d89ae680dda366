"""Models that hold one norm, or one weight, in several places: tracing makes an argument of what it saw elsewhere first."""

import torch
import torch.nn as nn

from plain_norm import SIZE, Block, Norm


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = Norm()
        self.b = Block(self.a)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x) + 1) + self.a(2 * x)


class Nested(nn.Module):
    """The weight goes through several calls, of which one makes another."""

    def __init__(self):
        super().__init__()
        norm = Norm()
        self.blocks = nn.ModuleList(nn.Sequential(Block(norm), nn.ReLU(), Block(norm)) for _ in range(2))
        self.last = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return self.last(x)


class Tied(nn.Module):
    """Two norms with one weight."""

    def __init__(self):
        super().__init__()
        self.a = Norm()
        self.b = Norm(eps=1e-3)
        self.b.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x) + 1)


class WeightGivenNorm(Norm):
    def forward(self, weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))


class Given(nn.Module):
    """The norm is given a weight: its own, or now and then another of the same numbers, which may change."""

    def __init__(self, other: bool):
        super().__init__()
        self.norm = WeightGivenNorm()
        self.weight = nn.Parameter(self.norm.weight.detach().clone()) if other else self.norm.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.norm.weight, self.norm(self.weight, x) + 1)


class Counted(nn.Module):
    """One buffer in two layers, which Python parts when it converts the model."""

    def __init__(self):
        super().__init__()
        self.a = Norm()
        self.b = Norm()
        for norm in (self.a, self.b):
            del norm.weight
        self.a.register_buffer("weight", torch.rand(SIZE))
        self.b.register_buffer("weight", self.a.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x) + 1)


MODELS = {
    "shared_buffer": (Counted, False),
    "shared_scripted": (Shared, True),
    "shared_traced": (Shared, False),
    "shared_nested": (Nested, False),
    "shared_weight": (Tied, False),
    "own_given": (lambda: Given(other=False), False),
    "other_given": (lambda: Given(other=True), False),
}
