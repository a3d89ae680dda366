from typing import Optional

import torch

from . import layers
from ._ops import ops


def relu(x: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(x)
    ops.relu(out, x)
    return out


def gelu(x: torch.Tensor, approximate: str = "none") -> torch.Tensor:
    out = torch.empty_like(x)
    if approximate == "tanh":
        ops.gelu_tanh(out, x)
    else:
        ops.gelu(out, x)
    return out


def silu_and_mul(x: torch.Tensor) -> torch.Tensor:
    d = x.shape[-1] // 2
    out = torch.empty(x.shape[:-1] + (d,), dtype=x.dtype, device=x.device)
    ops.silu_and_mul(out, x)
    return out


def rms_norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float = 1e-6) -> torch.Tensor:
    out = torch.empty_like(x)
    ops.rms_norm(out, x, weight, epsilon)
    return out


def gemma_rms_norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float = 1e-6) -> torch.Tensor:
    out = torch.empty_like(x)
    ops.gemma_rms_norm(out, x, weight, epsilon)
    return out


def layer_norm(
    x: torch.Tensor, weight: torch.Tensor, bias: Optional[torch.Tensor] = None, epsilon: float = 1e-5
) -> torch.Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    ops.layer_norm(out, x, weight, bias, epsilon)
    return out


def call_count() -> int:
    """How often the kernels of this build were called in this process."""
    return ops.call_count()


__all__ = [
    "call_count",
    "gelu",
    "gemma_rms_norm",
    "layer_norm",
    "layers",
    "relu",
    "rms_norm",
    "silu_and_mul",
]
