"""Models with several methods, and with ones that write what tracing has written into the code, for shaped_models.py."""

import torch
import torch.nn as nn

from plain_norm import SIZE, Block, Norm


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = Norm()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.norm(x) + 1)


class NormWithMore(Norm):
    def __init__(self):
        super().__init__()
        self.register_buffer("offset", torch.randn(SIZE))

    @torch.jit.export
    def scale(self) -> torch.Tensor:
        return self.weight + self.offset

    @torch.jit.export
    def again(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward(x) * self.scale()


class Methods(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = NormWithMore()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x)

    @torch.jit.export
    def twice(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.norm.again(x))


class Hybrid(Methods):
    """Traced; what is exported is scripted nevertheless, and so the norm is there twice."""

    def __init__(self):
        super().__init__()
        self.norm = Norm()
        self.list = nn.ModuleList([Norm(1e-3), Norm(1e-4)])
        self.layer_norm = nn.LayerNorm(SIZE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for norm in self.list:
            x = norm(x)
        return self.layer_norm(self.norm(x) + self.norm(2 * x))

    @torch.jit.export
    def twice(self, x: torch.Tensor) -> torch.Tensor:
        for norm in self.list:
            x = norm(x)
        return self.layer_norm(self.norm(x))


class OddNorm(nn.Module):
    """Tracing takes one branch, with another epsilon."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(1 + 0.3 * torch.randn(SIZE))
        self.variance_epsilon = 1e-2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] == 3:
            return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))
        return self.weight * x


class HybridBranches(Methods):
    def __init__(self):
        super().__init__()
        self.norm = OddNorm()

    @torch.jit.export
    def twice(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x)


class HybridOther(Methods):
    """The epsilon was another when it was traced."""

    def __init__(self):
        super().__init__()
        self.norm = Norm(1e-2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.norm.variance_epsilon = 1e-3
        return self.norm(x)

    @torch.jit.export
    def twice(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x)


class GrowingNorm(Norm):
    """Changes its result in its place where tracing does not come, beside what computes it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))
        if x.shape[0] == 100:
            y.mul_(2.0)
        return y


class HybridGrowing(HybridBranches):
    def __init__(self):
        super().__init__()
        self.norm = GrowingNorm()


class HybridWrites(Methods):
    """Writes a number that tracing has written into the other method."""

    def __init__(self):
        super().__init__()
        self.norm = Norm()

    @torch.jit.export
    def twice(self, x: torch.Tensor) -> torch.Tensor:
        self.norm.variance_epsilon = 0.5
        return self.norm(x)


class Setter(Twice):
    """The same, and nothing else comes to the norm."""

    @torch.jit.export
    def set_epsilon(self, epsilon: float) -> None:
        self.norm.variance_epsilon = epsilon


class ListNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(1 + 0.3 * torch.randn(SIZE))
        self.epsilons = [1e-2]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilons[0]))


class ListSetter(nn.Module):
    """The number is in a list, of a layer within another module."""

    def __init__(self):
        super().__init__()
        self.block = Block(ListNorm())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(x)

    @torch.jit.export
    def set_epsilon(self, epsilon: float) -> None:
        self.block.norm.epsilons[0] = epsilon


GrowingNorm.__qualname__ = GrowingNorm.__name__ = ListNorm.__qualname__ = ListNorm.__name__ = "Norm"
OddNorm.__qualname__ = OddNorm.__name__ = "Norm"
NormWithMore.__qualname__ = NormWithMore.__name__ = "Norm"

# How a model is made, and whether it is scripted.
MODELS = {
    "twice_traced": (Twice, False),
    "methods": (Methods, True),
    "hybrid": (Hybrid, False),
    "hybrid_branches": (HybridBranches, False),
    "hybrid_other": (HybridOther, False),
    "hybrid_growing": (HybridGrowing, False),
    "hybrid_writes": (HybridWrites, False),
    "setter": (Setter, False),
    "setter_scripted": (Setter, True),
    "list_setter": (ListSetter, False),
}
