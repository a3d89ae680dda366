from typing import Optional

import torch
import torch.nn as nn

from ._ops import ops


class ReLU(nn.Module):
    """max(x, 0), any shape."""

    can_torch_compile: bool = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        ops.relu(out, x)
        return out


class GELU(nn.Module):
    """The Gaussian error linear unit, any shape."""

    can_torch_compile: bool = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        ops.gelu(out, x)
        return out


class GELUTanh(nn.Module):
    """GELU by the hyperbolic tangent, any shape."""

    can_torch_compile: bool = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        ops.gelu_tanh(out, x)
        return out


class SiluAndMul(nn.Module):
    """silu(x[..., :d]) * x[..., d:] where d is half of the last dimension."""

    can_torch_compile: bool = True

    def forward(self, x: torch.Tensor):
        d = x.shape[-1] // 2
        out = torch.empty(x.shape[:-1] + (d,), dtype=x.dtype, device=x.device)
        ops.silu_and_mul(out, x)
        return out


class RMSNormFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden_states, weight, variance_epsilon):
        ctx.variance_epsilon = variance_epsilon
        out = torch.empty_like(hidden_states)
        ops.rms_norm(out, hidden_states, weight, variance_epsilon)
        ctx.save_for_backward(hidden_states, weight)
        return out


class RMSNorm(nn.Module):
    """Normalization by the root of the mean of squares, over the last dimension."""

    has_backward: bool = False
    weight: torch.Tensor
    variance_epsilon: float

    def forward(self, hidden_states):
        return RMSNormFunction.apply(
            hidden_states,
            self.weight,
            self.variance_epsilon,
        )


class GemmaRMSNorm(nn.Module):
    """RMSNorm in float32, scaled by 1 + weight."""

    has_backward: bool = False
    weight: torch.Tensor
    eps: float

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        ops.gemma_rms_norm(out, x, self.weight, self.eps)
        return out


class LayerNorm(nn.Module):
    """Normalization to mean 0 and variance 1, over the dimensions of the weight."""

    has_backward: bool = False
    weight: torch.Tensor
    bias: Optional[torch.Tensor]
    eps: float

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        out = torch.empty(input.shape, dtype=input.dtype, device=input.device)
        ops.layer_norm(out, input, self.weight, self.bias, self.eps)
        return out


__all__ = ["GELU", "GELUTanh", "GemmaRMSNorm", "LayerNorm", "ReLU", "RMSNorm", "SiluAndMul"]
