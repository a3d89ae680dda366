"""Makes the demo's models: a small decoder-style model, scripted and traced, and an input for it.

Usage: make_models.py FOLDER
"""

import pathlib
import sys
import warnings

import torch
import torch.nn as nn
import torch.nn.functional as F


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size) + 0.1 * torch.randn(size))
        self.variance_epsilon = eps

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        dtype = hidden_states.dtype
        x = hidden_states.to(torch.float32)
        variance = x.pow(2).mean(-1, keepdim=True)
        x = x * torch.rsqrt(variance + self.variance_epsilon)
        return self.weight * x.to(dtype)


class SiluAndMul(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        d = x.shape[-1] // 2
        return F.silu(x[..., :d]) * x[..., d:]


class Block(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.norm = RMSNorm(size, 1e-5)
        self.up = nn.Linear(size, 4 * size)
        self.activation = SiluAndMul()
        self.down = nn.Linear(2 * size, size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(self.activation(self.up(self.norm(x))))


class Decoder(nn.Module):
    def __init__(self, vocabulary: int = 100, size: int = 64, layers: int = 4):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, size)
        self.blocks = nn.ModuleList([Block(size) for _ in range(layers)])
        self.norm = RMSNorm(size, 1e-5)
        self.head = nn.Linear(size, vocabulary, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = Decoder().eval()
    tokens = torch.randint(0, 100, (2, 16))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(model).save(str(folder / "scripted.pt"))
        torch.jit.trace(model, (tokens,)).save(str(folder / "traced.pt"))
    torch.save(tokens, folder / "input.pt")
    print(f"wrote scripted.pt, traced.pt and input.pt to {folder}")


main()
