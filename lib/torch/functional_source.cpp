#include "functional_values.hpp"

namespace kernels::torchscript {

const char* functional_source() {
    return R"(
def silu(input: Tensor, inplace: bool = False):
    if inplace:
        return torch.silu_(input)
    return torch.silu(input)

def relu(input: Tensor, inplace: bool = False):
    if inplace:
        return torch.relu_(input)
    return torch.relu(input)

def mish(input: Tensor, inplace: bool = False):
    if inplace:
        return torch.mish_(input)
    return torch.mish(input)

def hardswish(input: Tensor, inplace: bool = False):
    if inplace:
        return torch.hardswish_(input)
    return torch.hardswish(input)

def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False):
    if inplace:
        return torch.elu_(input, alpha)
    return torch.elu(input, alpha)

def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False):
    if inplace:
        return torch.leaky_relu_(input, negative_slope)
    return torch.leaky_relu(input, negative_slope)

def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False):
    if inplace:
        return torch.dropout_(input, p, training)
    return torch.dropout(input, p, training)

def softmax(input: Tensor, dim: int, _stacklevel: int = 3, dtype: Optional[int] = None):
    return torch.softmax(input, dim, dtype)

def log_softmax(input: Tensor, dim: int, _stacklevel: int = 3, dtype: Optional[int] = None):
    return torch.log_softmax(input, dim, dtype)

def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12):
    return input / torch.norm(input, p, [dim], True).clamp_min(eps).expand_as(input)

def hub_norm(input: Tensor, dim: List[int], keepdim: bool = False, dtype: Optional[int] = None):
    assert len(dim) <= 2, "norm: the Frobenius norm is one of at most two dimensions"
    return torch.linalg_vector_norm(input, 2, dim, keepdim, dtype=dtype)

def embedding(input: Tensor, weight: Tensor, padding_idx: Optional[int] = None, max_norm: Optional[float] = None,
              norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False):
    assert max_norm is None, "max_norm of embedding, which changes the weights"
    without_gradient = -1
    if padding_idx is not None:
        assert padding_idx < weight.size(0) and padding_idx >= -weight.size(0), "padding_idx of embedding"
        without_gradient = padding_idx if padding_idx >= 0 else weight.size(0) + padding_idx
    return torch.embedding(weight, input, without_gradient, scale_grad_by_freq, sparse)

def relu6(input: Tensor, inplace: bool = False):
    if inplace:
        return torch.relu6_(input)
    return torch.relu6(input)

def hub_tensor_of_float(data: float, dtype: Optional[int] = None, device: Optional[Device] = None):
    if dtype is None:
        return torch.tensor(data, device=device)
    return torch.scalar_tensor(data, dtype=dtype, device=device)

def hub_tensor_of_floats(data: List[float], dtype: Optional[int] = None, device: Optional[Device] = None):
    if dtype is None or len(data) == 0:
        return torch.tensor(data, dtype=dtype, device=device)
    return torch.stack([torch.scalar_tensor(one, dtype=dtype, device=device) for one in data])

def hub_tensor_of_rows(data: List[List[float]], dtype: Optional[int] = None, device: Optional[Device] = None):
    if dtype is None or len(data) == 0:
        return torch.tensor(data, dtype=dtype, device=device)
    return torch.stack([hub_tensor_of_floats(row, dtype, device) for row in data])

def hub_float_when_empty(made: Tensor, dtype: Optional[int] = None):
    if dtype is None and made.numel() == 0:
        return made.to(torch.empty([0]).dtype)
    return made

def group_norm(input: Tensor, num_groups: int, weight: Optional[Tensor] = None, bias: Optional[Tensor] = None,
               eps: float = 1e-5):
    assert input.dim() >= 2, "group_norm: an input of at least 2 dimensions is expected"
    assert num_groups != 0, "group_norm: division by zero"
    count = input.size(0) * input.size(1) // num_groups
    for i in range(2, input.dim()):
        count *= input.size(i)
    assert count != 1, "group_norm: more than one value for each channel is needed in training"
    return torch.group_norm(input, num_groups, weight, bias, eps)

def hub_sizes_of_number(input: Tensor, number: int) -> List[int]:
    return [number for _ in range(input.dim() - 2)]

def hub_scales_of_number(input: Tensor, number: float) -> List[float]:
    return [number for _ in range(input.dim() - 2)]

def interpolate(input: Tensor, size: Optional[List[int]] = None, scale_factor: Optional[List[float]] = None,
                mode: str = "nearest", align_corners: Optional[bool] = None,
                recompute_scale_factor: Optional[bool] = None, antialias: bool = False):
    n = input.dim() - 2
    smooth = mode == "linear" or mode == "bilinear" or mode == "trilinear" or mode == "bicubic"
    assert smooth or align_corners is None, "interpolate: align_corners goes with linear modes alone"
    corners = align_corners is not None and align_corners
    assert (size is None) != (scale_factor is None), "interpolate: one of size and scale_factor must be given"
    if size is not None:
        assert len(size) == n, "interpolate: size has another number of dimensions than the input"
    if scale_factor is not None:
        assert len(scale_factor) == n, "interpolate: scale_factor has another number of dimensions than the input"
    if recompute_scale_factor is not None and recompute_scale_factor:
        assert size is None, "interpolate: recompute_scale_factor is for scale_factor alone"
    if scale_factor is not None and (mode == "area" or (recompute_scale_factor is not None and recompute_scale_factor)):
        size = [int(input.size(i + 2) * scale_factor[i]) for i in range(n)]
        scale_factor = None
    if antialias:
        assert n == 2 and (mode == "bilinear" or mode == "bicubic"), "interpolate: antialias does not go with this mode"
        if mode == "bilinear":
            return torch._upsample_bilinear2d_aa(input, size, corners, scale_factor)
        return torch._upsample_bicubic2d_aa(input, size, corners, scale_factor)
    if mode == "nearest":
        if n == 1:
            return torch.upsample_nearest1d(input, size, scale_factor)
        if n == 2:
            return torch.upsample_nearest2d(input, size, scale_factor)
        if n == 3:
            return torch.upsample_nearest3d(input, size, scale_factor)
    if mode == "nearest-exact":
        if n == 1:
            return torch._upsample_nearest_exact1d(input, size, scale_factor)
        if n == 2:
            return torch._upsample_nearest_exact2d(input, size, scale_factor)
        if n == 3:
            return torch._upsample_nearest_exact3d(input, size, scale_factor)
    if mode == "area" and size is not None:
        if n == 1:
            return torch.adaptive_avg_pool1d(input, size)
        if n == 2:
            return torch.adaptive_avg_pool2d(input, size)
        if n == 3:
            return torch.adaptive_avg_pool3d(input, size)
    if mode == "linear" and n == 1:
        return torch.upsample_linear1d(input, size, corners, scale_factor)
    if mode == "bilinear" and n == 2:
        return torch.upsample_bilinear2d(input, size, corners, scale_factor)
    if mode == "bicubic" and n == 2:
        return torch.upsample_bicubic2d(input, size, corners, scale_factor)
    if mode == "trilinear" and n == 3:
        return torch.upsample_trilinear3d(input, size, corners, scale_factor)
    assert False, "interpolate: there is no such mode for inputs of this number of dimensions"
    return input

def hub_finfo_max(dtype: int) -> float:
    if dtype == 5:
        return 65504.0
    if dtype == 6:
        return 3.4028234663852886e+38
    if dtype == 7:
        return 1.7976931348623157e+308
    if dtype == 15:
        return 3.3895313892515355e+38
    assert False, "torch.finfo of a dtype that is none of float16, bfloat16, float32 and float64"
    return 0.0

def hub_finfo_min(dtype: int) -> float:
    if dtype == 5:
        return -65504.0
    if dtype == 6:
        return -3.4028234663852886e+38
    if dtype == 7:
        return -1.7976931348623157e+308
    if dtype == 15:
        return -3.3895313892515355e+38
    assert False, "torch.finfo of a dtype that is none of float16, bfloat16, float32 and float64"
    return 0.0

def hub_finfo_eps(dtype: int) -> float:
    if dtype == 5:
        return 0.0009765625
    if dtype == 6:
        return 1.1920928955078125e-07
    if dtype == 7:
        return 2.220446049250313e-16
    if dtype == 15:
        return 0.0078125
    assert False, "torch.finfo of a dtype that is none of float16, bfloat16, float32 and float64"
    return 0.0

def hub_finfo_tiny(dtype: int) -> float:
    if dtype == 5:
        return 6.103515625e-05
    if dtype == 6:
        return 1.1754943508222875e-38
    if dtype == 7:
        return 2.2250738585072014e-308
    if dtype == 15:
        return 1.1754943508222875e-38
    assert False, "torch.finfo of a dtype that is none of float16, bfloat16, float32 and float64"
    return 0.0

def hub_iinfo_max(dtype: int) -> int:
    if dtype == 0:
        return 255
    if dtype == 1:
        return 127
    if dtype == 2:
        return 32767
    if dtype == 3:
        return 2147483647
    if dtype == 4:
        return 9223372036854775807
    assert False, "torch.iinfo of a dtype that is none of uint8, int8, int16, int32 and int64"
    return 0

def hub_iinfo_min(dtype: int) -> int:
    if dtype == 0:
        return 0
    if dtype == 1:
        return -128
    if dtype == 2:
        return -32768
    if dtype == 3:
        return -2147483648
    if dtype == 4:
        return -9223372036854775807 - 1
    assert False, "torch.iinfo of a dtype that is none of uint8, int8, int16, int32 and int64"
    return 0

def hub_floordiv(a: int, b: int) -> int:
    if b == -1:
        return -a
    return a // b

def hub_remainder(a: int, b: int) -> int:
    assert b != 0, "modulo by zero"
    if b == -1:
        return 0
    return a % b

def hub_round(x: float) -> int:
    assert x - x == 0.0, "cannot convert float infinity or NaN to integer"
    below = torch.floor(x)
    rest = x - below
    if rest > 0.5 or (rest == 0.5 and below % 2 == 1):
        return below + 1
    return below

def hub_divmod(a: int, b: int) -> Tuple[int, int]:
    assert b != 0, "division by zero"
    if b == -1:
        return -a, 0
    return divmod(a, b)

def hub_view_dtype(x: Tensor, dtype: int) -> Tensor:
    result = torch.empty([0], dtype=dtype, device=x.device)
    old = x.element_size()
    new = result.element_size()
    sizes = x.size()
    strides = x.stride()
    offset = x.storage_offset()
    if old != new:
        assert len(sizes) != 0, "view with a dtype of another size: the tensor has no dimension"
        bytes = sizes[-1] * old
        fits = strides[-1] == 1 and bytes % new == 0 and offset * old % new == 0
        for stride in strides[:-1]:
            fits = fits and stride * old % new == 0
        assert fits, "view with a dtype of another size: the last dimension, the strides or the offset do not fit it"
        for i in range(len(strides) - 1):
            strides[i] = strides[i] * old // new
        sizes[-1] = bytes // new
        offset = offset * old // new
    end = 0
    if x.numel() > 0:
        end = x.storage_offset() + 1
        for i in range(x.dim()):
            end += (x.size(i) - 1) * x.stride(i)
    memory = x.detach().as_strided([end], [1], 0)
    return result.set_(memory, offset, sizes, strides)

def hub_numbers(x: Tensor) -> Tensor:
    return x.to(4) if x.dtype == 11 else x
)";
}

}  // namespace kernels::torchscript
