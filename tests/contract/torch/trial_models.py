"""The originals of the trial, and small models around them, scripted and traced: python3 trial_models.py FOLDER [LAYER…]."""

import pathlib
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

WIDTH = 32


class RMSNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))
        self.variance_epsilon = 1e-6

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dtype = x.dtype
        x = x.to(torch.float32)
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * x.to(dtype)


class CountingNorm(nn.Module):
    """Counts its calls in a buffer."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))
        self.register_buffer("calls", torch.zeros(1))
        self.variance_epsilon = 1e-6

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.add_(1)
        wide = x.to(torch.float32)
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)).to(x.dtype)


class GemmaNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(WIDTH))
        self.variance_epsilon = 1e-6

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return (normed * (1.0 + self.weight.float())).to(x.dtype)


class AddRMSNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))
        self.variance_epsilon = 1e-6

    def forward(self, x: torch.Tensor, residual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        total = x + residual
        wide = total.to(torch.float32)
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * wide.to(x.dtype), total


class AddFirst(AddRMSNorm):
    """The sum comes first: what is computed last is the second result."""

    def forward(self, x: torch.Tensor, residual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        total = x + residual
        wide = total.to(torch.float32)
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return total, self.weight * wide.to(x.dtype)


class LayerNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))
        self.bias = nn.Parameter(torch.zeros(WIDTH))
        self.variance_epsilon = 1e-5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        centred = wide - wide.mean(-1, keepdim=True)
        normed = centred * torch.rsqrt(centred.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return (normed * self.weight.float() + self.bias.float()).to(x.dtype)


class SiluAndMul(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        d = x.shape[-1] // 2
        return F.silu(x[..., :d]) * x[..., d:]


class Gelu(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(x)


class GeluTanh(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(x, approximate="tanh")


class ReLU(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x)


class Softmax(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x, dim=-1)


class MaskedSoftmax(nn.Module):
    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x.masked_fill(mask.logical_not(), float("-inf")), dim=-1)


class RotateHalf(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        half = x.shape[-1] // 2
        return torch.cat((-x[..., half:], x[..., :half]), dim=-1)


class HeadGelu(Gelu):
    """Of four dimensions."""


class Scores(nn.Module):
    def forward(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return torch.matmul(q, k.transpose(-1, -2))


class OptionsNorm(nn.Module):
    """Of arguments that are no tensors its models use one each."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: torch.Tensor, eps: float, centred: bool = False, groups: int = 1,
                bias: torch.Tensor | None = None) -> torch.Tensor:
        if centred:
            x = x - x.mean(-1, keepdim=True)
        split = x.unflatten(-1, [groups, -1])
        x = (split * torch.rsqrt(split.pow(2).mean(-1, keepdim=True) + eps)).flatten(-2)
        return self.weight * x if bias is None else self.weight * x + bias


class Options(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.up = nn.Linear(WIDTH, WIDTH)
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.up(x), 1e-6)


class Branches(nn.Module):
    """Comes to the layer for some inputs only."""

    def __init__(self, layer):
        super().__init__()
        self.up = nn.Linear(WIDTH, WIDTH)
        self.layer = layer

    def forward(self, x: torch.Tensor, normed: bool = False) -> torch.Tensor:
        y = self.up(x)
        return self.layer(y) if normed else y


class NeverBranches(Branches):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.up(x)
        return self.layer(y) if x.shape[0] == 12345 else y


class SecondSoftmax(nn.Module):
    """Of two dimensions the last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x, dim=1)


class Weightless(nn.Module):
    """Takes whole numbers as well."""

    def __init__(self):
        super().__init__()
        self.layer = ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * self.layer(x)


class Heads(nn.Module):
    """The layer gets batch, heads, length and width."""

    def __init__(self, layer):
        super().__init__()
        self.up = nn.Linear(WIDTH, WIDTH)
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = self.up(x).view(x.shape[0], x.shape[1], 4, 8).transpose(1, 2)
        return self.layer(heads).transpose(1, 2).flatten(2)


class Attends(nn.Module):
    """To itself: the lengths of both arguments are always equal."""

    def __init__(self, layer):
        super().__init__()
        self.q = nn.Linear(WIDTH, WIDTH)
        self.k = nn.Linear(WIDTH, WIDTH)
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.q(x), self.k(x))


class Model(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.up = nn.Linear(WIDTH, WIDTH)
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layer(self.up(x))


class Masked(nn.Module):
    """With a mask that is true everywhere."""

    def __init__(self, layer):
        super().__init__()
        self.up = nn.Linear(WIDTH, WIDTH)
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        up = self.up(x)
        return self.layer(up, up.isfinite())


class Gated(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.up = nn.Linear(WIDTH, 2 * WIDTH)
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.up(x))


class Residual(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.up = nn.Linear(WIDTH, WIDTH)
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, other = self.layer(self.up(x), x)
        return one - other


class Unreached(nn.Module):
    """forward does not call the layer."""

    def __init__(self, layer):
        super().__init__()
        self.up = nn.Linear(WIDTH, WIDTH)
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(x)


class Features(Unreached):
    """Another method does, which is traced as well."""

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.up(x))


class Exported(Unreached):
    """Other methods of the same model do: one with inputs that can be made, one without."""

    @torch.jit.export
    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.up(x))

    @torch.jit.export
    def listed(self, x: list[torch.Tensor]) -> torch.Tensor:
        return self.features(x[0])

    @torch.jit.export
    def plain(self, x: list[torch.Tensor]) -> torch.Tensor:
        return self.up(x[0])


class Remembers(nn.Module):
    """Everything that a model can remember, and a result that shows it."""

    seen: list[torch.Tensor]
    named: dict[str, torch.Tensor]

    def __init__(self, layer):
        super().__init__()
        self.up = nn.Linear(WIDTH, WIDTH)
        self.layer = layer
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("total", torch.zeros(()))
        self.steps = 0
        self.seen = [torch.zeros(1)]
        self.named = {"largest": torch.zeros(())}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.add_(1)
        self.steps += 1
        self.total = self.total + x.mean()
        self.seen.append(x)
        self.named["largest"] = torch.maximum(self.named["largest"], x.max())
        y = x + self.layer(self.up(x)) * self.calls + self.total + self.named["largest"]
        return y * (self.steps + len(self.seen))


class NeedsItsModel(nn.Module):
    """A layer that refuses every input that could be made for it."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))
        self.variance_epsilon = 1e-6

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[0] == 12345
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * x


class ManyArguments(nn.Module):
    """A tuple, a dictionary, a number and an optional tensor."""

    def __init__(self):
        super().__init__()
        self.layer = RMSNorm()

    def forward(self, pair: tuple[torch.Tensor, torch.Tensor], more: dict[str, torch.Tensor], scale: float,
                mask: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        y = self.layer(pair[0] + pair[1] + more["x"]) * scale
        if mask is not None:
            y = y * mask
        return {"y": y}


def main(folder: pathlib.Path, *names: str) -> None:
    torch.manual_seed(0)
    torch.jit.script(ManyArguments()).save(folder / "many-arguments.pt")
    torch.jit.script(Unreached(RMSNorm())).save(folder / "unreached.pt")
    torch.jit.script(Exported(RMSNorm())).save(folder / "exported.pt")
    torch.jit.trace_module(Features(RMSNorm()), {"forward": torch.randn(2, WIDTH), "features": torch.randn(5, 7, WIDTH)}).save(
        folder / "exported-traced.pt")
    torch.jit.freeze(torch.jit.script(Branches(RMSNorm()).eval())).save(folder / "branches-frozen.pt")
    torch.jit.freeze(torch.jit.script(NeverBranches(RMSNorm()).eval())).save(folder / "never-branches-frozen.pt")
    torch.jit.script(Unreached(SecondSoftmax())).save(folder / "second-softmax.pt")
    torch.jit.script(Weightless()).save(folder / "weightless.pt")
    torch.jit.script(Unreached(NeedsItsModel())).save(folder / "unreachable.pt")
    torch.jit.script(Remembers(RMSNorm())).save(folder / "remembers.pt")
    torch.save((torch.randn(2, WIDTH), torch.randn(2, WIDTH)), folder / "pair.pt")
    torch.save({"x": torch.randn(2, WIDTH)}, folder / "more.pt")
    for layer in (RMSNorm, CountingNorm, GemmaNorm, AddRMSNorm, AddFirst, LayerNorm, SiluAndMul, Gelu, GeluTanh, ReLU, Softmax, RotateHalf, HeadGelu,
                  Scores, OptionsNorm, MaskedSoftmax):
        if names and layer.__name__ not in names:
            continue
        around = {SiluAndMul: Gated, AddRMSNorm: Residual, AddFirst: Residual, HeadGelu: Heads, Scores: Attends, OptionsNorm: Options,
                  MaskedSoftmax: Masked}.get(layer, Model)
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
            model = around(layer()).to(dtype).eval()
            scripted = torch.jit.script(model)
            scripted.save(folder / f"{layer.__name__}-{name}-scripted.pt")
            if layer is OptionsNorm:
                continue  # its options are gone in other code
            torch.jit.freeze(scripted).save(folder / f"{layer.__name__}-{name}-frozen.pt")
            traced = torch.jit.trace(model, torch.randn(2, 16, WIDTH, dtype=dtype))
            traced.save(folder / f"{layer.__name__}-{name}-traced.pt")
            torch.jit.freeze(traced).save(folder / f"{layer.__name__}-{name}-traced-frozen.pt")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *sys.argv[2:])
