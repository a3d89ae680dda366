#include "functional_values.hpp"

namespace kernels::torchscript {

const char* pooling_and_loss_source() {
    return R"(
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False):
    assert min_val <= max_val, "min_val of hardtanh is greater than max_val"
    if inplace:
        return torch.hardtanh_(input, min_val, max_val)
    return torch.hardtanh(input, min_val, max_val)

def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False):
    if inplace:
        return torch.threshold_(input, threshold, value)
    return torch.threshold(input, threshold, value)

def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False):
    if inplace:
        return torch.celu_(input, alpha)
    return torch.celu(input, alpha)

def selu(input: Tensor, inplace: bool = False):
    if inplace:
        return torch.selu_(input)
    return torch.selu(input)

def hardsigmoid(input: Tensor, inplace: bool = False):
    if inplace:
        return torch.hardsigmoid_(input)
    return torch.hardsigmoid(input)

def softsign(input: Tensor):
    return input / (input.abs() + 1)

def tanhshrink(input: Tensor):
    return input - input.tanh()

def softmin(input: Tensor, dim: int, _stacklevel: int = 3, dtype: Optional[int] = None):
    return torch.softmax(-input, dim, dtype)

def batch_norm(input: Tensor, running_mean: Optional[Tensor], running_var: Optional[Tensor],
               weight: Optional[Tensor] = None, bias: Optional[Tensor] = None, training: bool = False,
               momentum: float = 0.1, eps: float = 1e-05):
    if training:
        count = input.size(0)
        for i in range(2, input.dim()):
            count *= input.size(i)
        assert count != 1, "batch_norm: more than one value for each channel is needed in training"
        assert eps > 0.0, "batch_norm: eps must be positive in training"
    assert eps >= 0.0, "batch_norm: eps must not be negative"
    return torch.batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, True)

def instance_norm(input: Tensor, running_mean: Optional[Tensor] = None, running_var: Optional[Tensor] = None,
                  weight: Optional[Tensor] = None, bias: Optional[Tensor] = None, use_input_stats: bool = True,
                  momentum: float = 0.1, eps: float = 1e-05):
    if use_input_stats:
        count = 1
        for i in range(2, input.dim()):
            count *= input.size(i)
        assert count != 1, "instance_norm: more than one spatial element is needed"
    return torch.instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, True)

def grid_sample(input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
                align_corners: Optional[bool] = None):
    assert mode == "bilinear" or mode == "nearest" or mode == "bicubic", "no mode of grid_sample"
    assert padding_mode == "zeros" or padding_mode == "border" or padding_mode == "reflection", "no padding_mode of grid_sample"
    how = 0 if mode == "bilinear" else 1 if mode == "nearest" else 2
    padding = 0 if padding_mode == "zeros" else 1 if padding_mode == "border" else 2
    return torch.grid_sampler(input, grid, how, padding, align_corners is not None and align_corners)

def adaptive_max_pool1d(input: Tensor, output_size: List[int]):
    return torch.adaptive_max_pool1d(input, output_size)[0]

def adaptive_max_pool2d(input: Tensor, output_size: List[int]):
    return torch.adaptive_max_pool2d(input, output_size)[0]

def adaptive_max_pool3d(input: Tensor, output_size: List[int]):
    return torch.adaptive_max_pool3d(input, output_size)[0]

def unfold(input: Tensor, kernel_size: List[int], dilation: List[int] = [1, 1], padding: List[int] = [0, 0], stride: List[int] = [1, 1]):
    return torch.im2col(input, kernel_size, dilation, padding, stride)

def fold(input: Tensor, output_size: List[int], kernel_size: List[int], dilation: List[int] = [1, 1], padding: List[int] = [0, 0], stride: List[int] = [1, 1]):
    return torch.col2im(input, output_size, kernel_size, dilation, padding, stride)

def hub_reduction(reduction: str, size_average: Optional[bool], reduce: Optional[bool]) -> int:
    assert size_average is None and reduce is None, "size_average and reduce of a loss"
    assert reduction == "none" or reduction == "mean" or reduction == "sum", "no reduction of a loss"
    return 0 if reduction == "none" else 1 if reduction == "mean" else 2

def mse_loss(input: Tensor, target: Tensor, size_average: Optional[bool] = None, reduce: Optional[bool] = None, reduction: str = "mean"):
    a, b = torch.broadcast_tensors([input, target])
    return torch.mse_loss(a, b, hub_reduction(reduction, size_average, reduce))

def l1_loss(input: Tensor, target: Tensor, size_average: Optional[bool] = None, reduce: Optional[bool] = None, reduction: str = "mean"):
    a, b = torch.broadcast_tensors([input, target])
    return torch.l1_loss(a, b, hub_reduction(reduction, size_average, reduce))

def smooth_l1_loss(input: Tensor, target: Tensor, size_average: Optional[bool] = None, reduce: Optional[bool] = None, reduction: str = "mean", beta: float = 1.0):
    a, b = torch.broadcast_tensors([input, target])
    how = hub_reduction(reduction, size_average, reduce)
    if beta == 0.0:
        return torch.l1_loss(a, b, how)
    return torch.smooth_l1_loss(a, b, how, beta)

def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0):
    a, b = torch.broadcast_tensors([input, target])
    return torch.huber_loss(a, b, hub_reduction(reduction, None, None), delta)

def binary_cross_entropy(input: Tensor, target: Tensor, weight: Optional[Tensor] = None, size_average: Optional[bool] = None, reduce: Optional[bool] = None, reduction: str = "mean"):
    assert target.size() == input.size(), "binary_cross_entropy: input and target must have the same size"
    if weight is not None:
        weight = torch.broadcast_tensors([target, weight])[1]
    return torch.binary_cross_entropy(input, target, weight, hub_reduction(reduction, size_average, reduce))

def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, weight: Optional[Tensor] = None, size_average: Optional[bool] = None, reduce: Optional[bool] = None, reduction: str = "mean",
                                     pos_weight: Optional[Tensor] = None):
    assert target.size() == input.size(), "binary_cross_entropy_with_logits: input and target must have the same size"
    return torch.binary_cross_entropy_with_logits(input, target, weight, pos_weight,
                                                  hub_reduction(reduction, size_average, reduce))

def kl_div(input: Tensor, target: Tensor, size_average: Optional[bool] = None, reduce: Optional[bool] = None, reduction: str = "mean", log_target: bool = False):
    how = 2 if reduction == "batchmean" else hub_reduction(reduction, size_average, reduce)
    reduced = torch.kl_div(input, target, how, log_target=log_target)
    if reduction == "batchmean" and input.dim() != 0:
        reduced = reduced / input.size(0)
    return reduced

def nll_loss(input: Tensor, target: Tensor, weight: Optional[Tensor] = None, size_average: Optional[bool] = None,
             ignore_index: int = -100, reduce: Optional[bool] = None, reduction: str = "mean"):
    return torch.nll_loss_nd(input, target, weight, hub_reduction(reduction, size_average, reduce), ignore_index)

def cross_entropy(input: Tensor, target: Tensor, weight: Optional[Tensor] = None, size_average: Optional[bool] = None,
                  ignore_index: int = -100, reduce: Optional[bool] = None, reduction: str = "mean",
                  label_smoothing: float = 0.0):
    return torch.cross_entropy_loss(input, target, weight, hub_reduction(reduction, size_average, reduce),
                                    ignore_index, label_smoothing)
)";
}

}  // namespace kernels::torchscript
