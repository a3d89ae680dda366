import torch

from . import layers
from ._ops import ops


def relu(x: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(x)
    ops.relu(out, x)
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


def call_count() -> int:
    """How often the kernels of this build were called in this process."""
    return ops.call_count()


__all__ = ["call_count", "layers", "relu", "rms_norm", "silu_and_mul"]
