

class SiLU(nn.Module):
    """x * sigmoid(x), any shape. New in version 2."""

    can_torch_compile: bool = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        ops.silu(out, x)
        return out


__all__.append("SiLU")
