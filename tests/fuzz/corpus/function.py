#file __init__.py
import torch
from . import layers
from .more import *
from ._ops import ops, add_op_namespace_prefix

try:
    from .fast import relu as fast
except ImportError:
    fast = None

def relu(x, out=None):
    if out is None:
        out = torch.empty_like(x)
    ops.relu(out, x)
    return out

relu.can_torch_compile = True

__all__ = ["relu", "more", "layers"]
#file more.py
from .layers import L
from . import relu

def more(x, *shape, **kwargs):
    match x:
        case [a, b]:
            return a
    try:
        return [y for y in x if y]
    except (ValueError, TypeError) as e:
        raise RuntimeError("no") from e
    finally:
        pass

async def later(x):
    return await x

class C(metaclass=type):
    x: int = lambda a, *b, c=1, **d: (yield)
