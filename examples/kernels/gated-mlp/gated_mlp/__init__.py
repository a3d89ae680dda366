"""A kernel without a library of its own: it stands on another one, named by kernel-depends of its metadata.json."""

import torch
from kernels import get_kernel_dep

ops = get_kernel_dep("kernels-demo/transformer-ops")


def gated_mlp(x: torch.Tensor, up: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """silu(gate) * value of x @ up^T, times down^T; `up` holds the rows of gate, then those of value."""
    hidden = torch.nn.functional.linear(x, up)
    return torch.nn.functional.linear(ops.silu_and_mul(hidden), down)


__all__ = ["gated_mlp"]
