"""Models that hold and call a norm in many ways. Usage: shaped_models.py NAME...; writes NAME.pt and NAME.input here.

frozen_NAME and inlined_NAME are NAME without its classes, or without calls of them.
"""

import sys
import warnings
from typing import Final

import torch
import torch.nn as nn
import torch.nn.functional as F

import method_models
import shared_models
from plain_norm import SIZE, Block, Norm


class Containers(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(Norm()), Block(Norm())])
        self.named = nn.ModuleDict({"a": Norm(), "b": Norm()})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        for norm in self.named.values():
            x = x + norm(x)
        return x


@torch.jit.interface
class AnyNorm(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pass


class ByInterface(nn.Module):
    norm: AnyNorm

    def __init__(self):
        super().__init__()
        self.norm = Norm()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x)


class Loop(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = Norm()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        i = 0
        while i < 5:
            if bool(x.sum() > -1e9):
                x = x + self.norm(x)
            i += 1
        return x


class Keyword(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = Norm()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x=x)


class Epsilons(nn.Module):
    def __init__(self, norm=Norm):
        super().__init__()
        self.a = norm(1e-2)
        self.b = norm(1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x) + self.b(x)


class FinalNorm(nn.Module):
    """Its epsilon is its scripted class's and no attribute."""

    variance_epsilon: Final[float]

    def __init__(self, eps: float):
        super().__init__()
        self.weight = nn.Parameter(1 + 0.3 * torch.randn(SIZE))
        self.variance_epsilon = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))


class OtherName(nn.Module):
    """Its epsilon has another name than the kernel's, and its instances share a scripted class."""

    def __init__(self, eps: float):
        super().__init__()
        self.weight = nn.Parameter(1 + 0.3 * torch.randn(SIZE))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


OtherName.__qualname__ = OtherName.__name__ = "Norm"


class BareNorm(nn.Module):
    def __init__(self, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(SIZE))
        self.register_buffer("floor", torch.tensor([eps]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.floor))


BareNorm.__qualname__ = BareNorm.__name__ = "Norm"


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = BareNorm(1e-2)
        self.held = nn.ModuleDict({"b": BareNorm(1e-3)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for norm in self.held.values():
            x = x + norm(x)
        return self.a(x)


class TwoEpsilons(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(SIZE))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-2)
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-3))


TwoEpsilons.__qualname__ = TwoEpsilons.__name__ = "Norm"


class SummedEpsilons(nn.Module):
    """None of the two is what the sum is."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(SIZE))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt((x.pow(2).mean(-1, keepdim=True) + 1e-3) + 1e-2))


SummedEpsilons.__qualname__ = SummedEpsilons.__name__ = "Norm"


class NearMisses(nn.Module):
    """What looks like the norm and is another computation."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(1 + 0.3 * torch.randn(SIZE))
        self.eps = 1e-2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outside = self.weight * (x / (x.pow(2).mean(-1, keepdim=True).sqrt() + self.eps))
        other_axis = self.weight * (x * torch.rsqrt(x.pow(2).mean(-2, keepdim=True) + self.eps))
        other_power = self.weight * (x * torch.rsqrt(x.pow(4).mean(-1, keepdim=True) + self.eps))
        of_another = self.weight * (x * torch.rsqrt((2 * x).pow(2).mean(-1, keepdim=True) + self.eps))
        unscaled = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)
        scaled_twice = self.weight * (x * torch.rsqrt(2 * x.pow(2).mean(-1, keepdim=True) + self.eps))
        y = x + 1
        mean = y.pow(2).mean(-1, keepdim=True)
        y.mul_(2)  # between the first and the last step of a norm
        changed = self.weight * (y * torch.rsqrt(mean + self.eps))
        return outside + other_axis + other_power + of_another + unscaled + scaled_twice + changed


def functions():
    from kernels import use_kernel_func_from_hub

    @use_kernel_func_from_hub("silu_and_mul")
    def silu_and_mul(x: torch.Tensor) -> torch.Tensor:
        d = x.shape[-1] // 2
        return F.silu(x[..., :d]) * x[..., d:]

    @use_kernel_func_from_hub("rms_norm")
    def rms_norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon))

    class FunctionBlock(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(1 + 0.3 * torch.randn(SIZE))
            self.up = nn.Linear(SIZE, 2 * SIZE)
            self.norm = rms_norm
            self.activation = silu_and_mul

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.activation(self.up(self.norm(x, self.weight, 1e-2)))

    class Functions(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([FunctionBlock(), FunctionBlock()])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for block in self.blocks:
                x = block(x)
            return x

    return Functions()


# How a model is made, and whether it is scripted.
MODELS = {
    "containers": (Containers, True),
    "root": (Norm, True),
    **shared_models.MODELS,
    **method_models.MODELS,
    "interface": (ByInterface, True),
    "loop": (Loop, True),
    "keyword": (Keyword, True),
    "epsilons_scripted": (Epsilons, True),
    "epsilons_traced": (Epsilons, False),
    "final": (lambda: Epsilons(FinalNorm), True),
    "layer_norms": (lambda: Epsilons(lambda eps: nn.LayerNorm(SIZE, eps)), True),
    "no_bias": (lambda: Epsilons(lambda eps: nn.LayerNorm(SIZE, eps, bias=False)), False),
    "other_name": (lambda: Epsilons(OtherName), True),
    "bare": (Bare, True),
    "two_epsilons": (lambda: nn.Sequential(TwoEpsilons()), False),
    "summed_epsilons": (lambda: nn.Sequential(SummedEpsilons()), False),
    "near_misses": (NearMisses, True),
    "functions": (functions, False),
    "gelus_scripted": (lambda: nn.Sequential(nn.GELU(), nn.GELU("tanh")), True),
    "gelus_traced": (lambda: nn.Sequential(nn.GELU(), nn.GELU("tanh")), False),
}


def main() -> None:
    warnings.simplefilter("ignore")
    for name in sys.argv[1:]:
        torch.manual_seed(0)
        make, scripted = MODELS[name.removeprefix("frozen_").removeprefix("inlined_")]
        model = make().eval()
        x = 0.1 * torch.randn(3, 4, SIZE)
        with torch.no_grad():
            saved = torch.jit.script(model) if scripted else torch.jit.trace(model, (x,))
        if name.startswith("frozen_"):
            saved = torch.jit.freeze(saved)
        elif name.startswith("inlined_"):
            torch._C._jit_pass_inline(saved.graph)
        saved.save(f"{name}.pt")
        torch.save(x, f"{name}.input")


main()
