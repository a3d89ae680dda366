"""Small models around the originals of the trial, scripted and traced: python3 trial_models.py FOLDER [LAYER…]."""

import pathlib
import sys

import torch
import torch.nn as nn

import trial_originals
from trial_originals import WIDTH, ReLU, RMSNorm, SecondSoftmax


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


class Weightless(nn.Module):
    """Takes whole numbers as well."""

    def __init__(self):
        super().__init__()
        self.layer = ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * self.layer(x)


class Ranks(nn.Module):
    """Calls its layer with tensors of three ranks."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) + self.layer(x[None])[0] + self.layer(x[None, None])[0, 0]


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


class Padded(Masked):
    """With a mask of whole numbers that is one everywhere."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        up = self.up(x)
        return self.layer(up, up.isfinite()[..., 0].to(torch.int64))


class LooksUp(Masked):
    """Two rows of the table."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        up = self.up(x)
        return self.layer(up, up.isfinite()[..., 0].to(torch.int64) + (torch.arange(x.shape[1]) % 2))


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

class Attending(nn.Module):
    """To itself, by heads."""

    def __init__(self, layer):
        super().__init__()
        self.up = nn.Linear(WIDTH, 3 * WIDTH)
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = self.up(x).view(x.shape[0], x.shape[1], 12, 8).transpose(1, 2)
        return self.layer(heads[:, :4], heads[:, 4:8], heads[:, 8:]).transpose(1, 2).flatten(2)


class AttendingMasked(Attending):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = self.up(x).view(x.shape[0], x.shape[1], 12, 8).transpose(1, 2)
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        return self.layer(heads[:, :4], heads[:, 4:8], heads[:, 8:], mask).transpose(1, 2).flatten(2)


class Images(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.up = nn.Linear(WIDTH, 4 * WIDTH)
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.up(x).unflatten(-1, [4, -1]).transpose(1, 2).contiguous()).sum(1)


class Choosing(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.up = nn.Linear(WIDTH, WIDTH)
        self.layer = layer

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values, places = self.layer(self.up(x))
        return values * 2, places * 2


class Ending(nn.Module):
    """With the layer."""

    def __init__(self, layer):
        super().__init__()
        self.up = nn.Linear(WIDTH, WIDTH)
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.up(x))


class Positioned(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.up = nn.Linear(WIDTH, WIDTH)
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.up(x), torch.arange(x.shape[1]))


class Doubled(nn.Module):
    """The layer gets two arguments of a shape."""

    def __init__(self, layer):
        super().__init__()
        self.up = nn.Linear(WIDTH, WIDTH)
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.up(x), x)


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


AROUND = {"RMSNorm": Model, "LastNorm": Ending, "CountingNorm": Model, "GemmaNorm": Model, "AddRMSNorm": Residual, "AddFirst": Residual, "LayerNorm": Model,
          "SiluAndMul": Gated, "Gelu": Model, "GeluTanh": Model, "ReLU": Model, "FlatReLU": Model, "Softmax": Model, "RotateHalf": Model,
          "HeadGelu": Heads, "Scores": Attends, "OptionsNorm": Options, "MaskedSoftmax": Masked, "Projection": Model,
          "Attention": AttendingMasked, "FusedAttention": AttendingMasked, "CausalAttention": Attending,
          "FusedCausalAttention": Attending, "BatchNorm": Images, "TopK": Choosing, "Router": Choosing, "Rotation": Positioned,
          "Softplus": Model, "Maximum": Ending, "Sum": Doubled, "FirstSoftmax": Model,
          "DroppedNorm": Model, "SkippedNorm": Model, "FilledSoftmax": Masked,
          "MaskedMean": Padded, "Rows": LooksUp}
# Options are gone in other code, and sizes are fixed in what is traced.
SCRIPTED_ONLY = ("OptionsNorm", "FilledSoftmax", "MaskedMean", "Rows", "Projection", "Attention", "FusedAttention", "CausalAttention", "FusedCausalAttention", "BatchNorm", "TopK",
                 "Router", "Rotation", "Softplus", "Maximum", "Sum", "FirstSoftmax", "DroppedNorm", "SkippedNorm")


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
    torch.jit.script(Ranks(RMSNorm())).save(folder / "ranks.pt")
    torch.jit.script(Weightless()).save(folder / "weightless.pt")
    torch.jit.script(Unreached(NeedsItsModel())).save(folder / "unreachable.pt")
    torch.jit.script(Remembers(RMSNorm())).save(folder / "remembers.pt")
    torch.save((torch.randn(2, WIDTH), torch.randn(2, WIDTH)), folder / "pair.pt")
    torch.save({"x": torch.randn(2, WIDTH)}, folder / "more.pt")
    for layer, around in AROUND.items():
        if names and layer not in names:
            continue
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
            model = around(getattr(trial_originals, layer)()).to(dtype).eval()
            scripted = torch.jit.script(model)
            scripted.save(folder / f"{layer}-{name}-scripted.pt")
            if layer in SCRIPTED_ONLY:
                continue
            torch.jit.freeze(scripted).save(folder / f"{layer}-{name}-frozen.pt")
            sizes = (3,) if layer == "FlatReLU" else (2, 16)
            traced = torch.jit.trace(model, torch.randn(*sizes, WIDTH, dtype=dtype))
            traced.save(folder / f"{layer}-{name}-traced.pt")
            torch.jit.freeze(traced).save(folder / f"{layer}-{name}-traced-frozen.pt")



if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *sys.argv[2:])
