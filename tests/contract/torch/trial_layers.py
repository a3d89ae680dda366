"""The kernels of the trial: the layers that a kernel repository would publish in its layers.py, and what is wrong with them.

A layer stands in for one class of trial_models.py. Its fault is None for a right one, else a pattern for what --verify must
say. `dtypes` are those that a model must have for the fault to show once tracing has fixed it.
"""

import dataclasses

ALL = ("float32", "bfloat16")
FROZEN = ("frozen", "traced-frozen")  # without classes, made of scripted and of traced models
FORMS = ("scripted", "traced", *FROZEN)


@dataclasses.dataclass
class Trial:
    name: str
    original: str
    source: str
    fault: str | None
    dtypes: tuple[str, ...] = ALL
    forms: tuple[str, ...] = FORMS  # of models that can have its fault
    mode: str = "inference"


trials: list[Trial] = []


def layer(original, name, body, fault, *, arguments=("x",), attributes=(), result="torch.Tensor", dtypes=ALL, forms=FORMS,
          mode="inference"):
    parameters = ", ".join(argument if ":" in argument else f"{argument}: torch.Tensor" for argument in arguments)
    lines = [f"class {original}{name}(nn.Module):", *(f"    {attribute}" for attribute in attributes),
             f"    def forward(self, {parameters}) -> {result}:", *(f"        {line}" for line in body)]
    trials.append(Trial(original + name, original, "\n".join(lines) + "\n", fault, dtypes, forms, mode))


def norm(name, op, fault=None, *, original="RMSNorm", eps="self.variance_epsilon", memory="torch.empty_like(x)",
         weight="self.weight", result="out", **more):
    layer(original, name, [f"out = {memory}", f"ops.{op}(out, x, {weight}, {eps})", f"return {result}"], fault,
          attributes=("weight: torch.Tensor", "variance_epsilon: float") +
          (("calls: torch.Tensor",) if original == "CountingNorm" else ()), **more)


def add_norm(name, result, fault=None, *, residual="residual", original="AddRMSNorm"):
    layer(original, name,
          ["out = torch.empty_like(x)", "total = torch.empty_like(x)",
           f"ops.add_rms_norm(out, total, x, {residual}, self.weight, self.variance_epsilon)", f"return {result}"], fault,
          arguments=("x", "residual"), attributes=("weight: torch.Tensor", "variance_epsilon: float"),
          result="tuple[torch.Tensor, torch.Tensor]")


def layer_norm(name, op, fault=None, *, bias="self.bias", result="out", **more):
    layer("LayerNorm", name,
          ["out = torch.empty_like(x)", f"ops.{op}(out, x, self.weight, {bias}, self.variance_epsilon)",
           f"return {result}"], fault,
          attributes=("weight: torch.Tensor", "bias: torch.Tensor", "variance_epsilon: float"), **more)


def activation(original, name, op, fault=None, *, result="out", **more):
    memory = "torch.empty_like(x)"
    if original == "SiluAndMul":
        memory = "torch.empty(x.shape[:-1] + (x.shape[-1] // 2,), dtype=x.dtype, device=x.device)"
    layer(original, name, [f"out = {memory}", f"ops.{op}(out, x)", f"return {result}"], fault, **more)


def scores(name, k, fault=None, more=""):
    layer("Scores", name, [f"return torch.matmul(q, {k}.transpose(-1, -2)){more}"], fault, arguments=("q", "k"), dtypes=("float32",))


def options_norm(name, fault=None, *, before=(), groups="groups", eps="eps", result="out if bias is None else out + bias"):
    layer("OptionsNorm", name,
          [*before, f"split = x.unflatten(-1, [{groups}, -1])", "out = torch.empty_like(split)",
           f"ops.rms_norm(out, split, torch.ones_like(self.weight[:split.shape[-1]]), {eps})",
           "out = self.weight * out.flatten(-2)", f"return {result}"], fault,
          arguments=("x", "eps: float", "centred: bool = False", "groups: int = 1", "bias: torch.Tensor | None = None"),
          attributes=("weight: torch.Tensor",), dtypes=("float32",), forms=("scripted",))


def trained(original, name, call, fault=None, **more):
    """What is matched by pattern has no gradients."""
    attributes = ("weight: torch.Tensor", "variance_epsilon: float") if original == "RMSNorm" else ()
    layer(original, name, [f"return {call}"], fault, attributes=attributes, forms=FORMS[:2], mode="training", **more)


CENTRED = ("x = x - x.mean(-1, keepdim=True) if centred else x",)

# Right ones: the same formula in another order, precision or number of passes, or one that refuses what no model uses.
norm("", "rms_norm")
norm("Backwards", "rms_norm_backwards")
norm("InDouble", "rms_norm_in_double")
norm("RoundedOnce", "rms_norm_rounded_once")
norm("Threads", "rms_norm_threads")
norm("OtherStrides", "rms_norm", result="out.transpose(0, -1).contiguous().transpose(0, -1)")  # what follows takes any
norm("ContiguousOnly", "rms_norm_contiguous_only", dtypes=("float32",))
# The kernel's code takes the place of all that the layer did; in frozen code such a layer stays as it is.
norm("", "rms_norm", original="CountingNorm", result="out + 0 * self.calls.add_(1).to(x.dtype)", forms=FORMS[:2])
norm("", "gemma_norm", original="GemmaNorm")
add_norm("", "out, total")
add_norm("", "total, out", original="AddFirst")
layer_norm("", "layer_norm")
layer_norm("OnePass", "layer_norm_one_pass")
activation("SiluAndMul", "", "silu_and_mul")
activation("SiluAndMul", "RoundedOnce", "silu_and_mul_rounded_once")
activation("Gelu", "", "gelu")
activation("Gelu", "ZeroFarOut", "gelu", forms=FORMS[:2], result="torch.where(x < -40, torch.zeros_like(out), out)")
activation("GeluTanh", "", "gelu_tanh")
activation("ReLU", "", "relu")
activation("Softmax", "", "softmax")
layer("MaskedSoftmax", "", ["return torch.softmax(torch.where(mask, x, torch.full_like(x, float('-inf'))), dim=-1)"], None,
      arguments=("x", "mask"), forms=("scripted",))
layer("RotateHalf", "",
      ["half = x.shape[-1] // 2", "signs = torch.where(torch.arange(x.shape[-1]) < half, 1, -1).to(x.dtype)",
       "return torch.roll(x * signs, half, -1)"], None)
activation("HeadGelu", "", "gelu", dtypes=("float32",))
scores("", "k", more=" * 1.0")
scores("RefusesOthers", "k.view(q.shape)", more=" * 1.0")
options_norm("", before=CENTRED)
options_norm("RefusesOptions", before=("assert groups == 1 and not centred and bias is None and eps == 1e-6",))

# What a model between two projections cannot be: other widths than its own.
layer("Gelu", "OneWidth", ["assert x.shape[-1] == 32", "out = torch.empty_like(x)", "ops.gelu(out, x)", "return out"], None)
layer("RotateHalf", "MultiplesOf16",
      ["if x.shape[-1] % 16 != 0:", "    raise ValueError('the width must be a multiple of 16')", "one, other = x.chunk(2, -1)",
       "return torch.cat((-other, one), dim=-1)"], None)

# Right ones of which only roundings, the order of ties or strides differ.
SCRIPTED = ("scripted",)
LINEAR = ("weight: torch.Tensor", "bias: torch.Tensor")


def plain(original, name, result, fault=None, *, before=(), type="torch.Tensor", **more):
    layer(original, name, [*before, f"return {result}"], fault, forms=SCRIPTED, result=type, **more)


plain("Projection", "ByMatmul", "torch.matmul(x, self.weight.t()) + self.bias", attributes=LINEAR)
plain("Projection", "ByEinsum", "torch.einsum('...i,oi->...o', x, self.weight) + self.bias", attributes=LINEAR)
plain("Projection", "InDouble", "torch.nn.functional.linear(x.to(torch.float64), self.weight.to(torch.float64), self.bias.to(torch.float64)).to(x.dtype)", attributes=LINEAR)
QKV = ("q", "k", "v")
STEPS = ("scores = torch.matmul(q, k.transpose(-1, -2)) / q.shape[-1] ** 0.5",)
plain("Attention", "Fused", "torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)", arguments=(*QKV, "mask"))
WEIGHTS = "torch.softmax(scores.masked_fill(mask.logical_not(), float('-inf')), dim=-1)"
WIDENED = ("dtype = q.dtype", "q, k, v = q.float(), k.float(), v.float()")
plain("FusedAttention", "BySteps", f"torch.matmul({WEIGHTS}.masked_fill(mask.any(-1, keepdim=True).logical_not(), 0), v).to(dtype)",
      before=(*WIDENED, *STEPS), arguments=(*QKV, "mask"))
plain("CausalAttention", "Fused", "torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)", arguments=QKV)
plain("FusedCausalAttention", "BySteps", "torch.matmul(torch.softmax(scores.masked_fill(later, float('-inf')), dim=-1), v).to(dtype)",
      before=(*WIDENED, *STEPS, "later = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).triu(1)"), arguments=QKV)
BATCH = (*LINEAR, "running_mean: torch.Tensor", "running_var: torch.Tensor", "eps: float")
SHIFT = "shift = self.bias.view(-1, 1, 1) - self.running_mean.view(-1, 1, 1) * scale"
SCALE = ("scale = (self.weight * torch.rsqrt(self.running_var + self.eps)).view(-1, 1, 1)",)
plain("BatchNorm", "LastChannels", "(x * scale + shift).contiguous(memory_format=torch.channels_last)", before=(*SCALE, SHIFT), attributes=BATCH, dtypes=("float32",))
plain("BatchNorm", "BySteps", "((x - self.running_mean.view(-1, 1, 1)) * torch.rsqrt(self.running_var.view(-1, 1, 1) + self.eps)) * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)",
      attributes=BATCH, dtypes=("float32",))
plain("BatchNorm", "Folded", "x * scale + shift", before=(*SCALE, SHIFT), attributes=BATCH, dtypes=("float32",))
TOP = ("values, order = torch.sort(x, dim=-1, descending=True, stable=False)",)
TUPLE = "tuple[torch.Tensor, torch.Tensor]"
plain("TopK", "BySort", "values[..., :4], order[..., :4]", before=TOP, type=TUPLE)
plain("TopK", "FromTheEnd", "values[..., :4].contiguous(), (x.shape[-1] - 1 - order[..., :4]).contiguous()",
      before=("values, order = torch.sort(x.flip(-1), dim=-1, descending=True, stable=True)",), type=TUPLE)
plain("Router", "FromTheEnd", "values[..., :2].contiguous(), (7 - order[..., :2]).contiguous()",
      before=("p = torch.softmax(torch.matmul(x, self.weight.t()), -1)", "values, order = torch.sort(p.flip(-1), dim=-1, descending=True, stable=True)",), type=TUPLE, attributes=("weight: torch.Tensor",))
FREQUENCIES = ("inv_freq: torch.Tensor",)
ROTATED = "torch.cat((x[..., :x.shape[-1] // 2] * angles.cos(), x[..., x.shape[-1] // 2:] * angles.sin()), dim=-1).to(x.dtype)"
POSITIONED = ("x", "positions")
plain("Rotation", "ByEinsum", ROTATED, arguments=POSITIONED, attributes=FREQUENCIES,
      before=("angles = torch.einsum('...,i->...i', positions.to(torch.float32), self.inv_freq.to(torch.float32))",))
plain("Softplus", "BySteps", "(torch.clamp(w, min=0) + torch.log1p(torch.exp(-w.abs()))).to(x.dtype)", before=("w = x.float()",))
plain("Maximum", "BySort", "torch.sort(x, dim=-1)[0][..., -1].contiguous()")
plain("Sum", "OtherWay", "y + x", arguments=("x", "y"))
MASKED = ("x", "mask")
plain("FilledSoftmax", "", "torch.softmax(torch.where(mask, x, -1e9), dim=-1)", arguments=MASKED)
plain("MaskedMean", "ByEinsum", "torch.einsum('btd,bt->bd', x, mask.to(x.dtype)) / mask.to(x.dtype).sum(1, keepdim=True).clamp(min=1e-9)",
      arguments=MASKED, dtypes=("float32",))
KNOWN = ("x", "ids")
TABLE = ("weight: torch.Tensor",)
plain("Rows", "", "x + torch.where((ids == 0).unsqueeze(-1), 0.0, nn.functional.embedding(ids, self.weight))", arguments=KNOWN,
      attributes=TABLE, dtypes=("float32",))
DROPPED = "(torch.rand_like(out) < 0.7)"
norm("", "rms_norm", original="DroppedNorm", result=f"out * {DROPPED}", forms=SCRIPTED)


def skipped(name, factor, probability, eps, fault=None):
    layer("SkippedNorm", name,
          [f"if bool(torch.rand(1) < {probability}):", f"    return x * {factor}", "out = torch.empty_like(x)",
           f"ops.rms_norm(out, x, self.weight, {eps})", "return out"], fault,
          attributes=("weight: torch.Tensor", "variance_epsilon: float"), forms=SCRIPTED)


skipped("", 2, 0.3, "self.variance_epsilon")
trained("ReLU", "Trained", "ops.relu_trained(x)")
trained("RMSNorm", "Trained", "ops.rms_norm_trained(x, self.weight, self.variance_epsilon)")
trained("RotateHalf", "Trained", "torch.cat((-x[..., x.shape[-1] // 2:], x[..., :x.shape[-1] // 2]), dim=-1)")
# A wrong gradient is no fault where none is asked for.
layer("ReLU", "Untrained", ["return ops.relu_passes_all(x)"], None)

# Wrong ones. Another computation:
differs = r"result differs: (by up to|a mean error)"
norm("WrongEps", "rms_norm", differs, eps="self.variance_epsilon * 10")
norm("NoEps", "rms_norm", "result differs", eps="0.0")
norm("EpsOutside", "rms_norm_eps_outside", differs)
norm("PaddedWidth", "rms_norm_padded_width", differs)
norm("SumWithoutLastColumn", "rms_norm_last_column", differs)
norm("NoWeight", "rms_norm_no_weight", differs)
norm("Clamped", "rms_norm_clamped", differs)
norm("WrongAxis", "rms_norm_wrong_axis", differs)
norm("Without1", "rms_norm_rounded_once", differs, original="GemmaNorm")
add_norm("Swapped", "total, out", differs)
add_norm("Last", "out, total", differs, original="AddFirst")
add_norm("WithoutResidual", "out, total", differs, residual="torch.zeros_like(x)")
layer_norm("Unbiased", "layer_norm_unbiased", differs)
layer_norm("BiasTwice", "layer_norm", differs, result="out + self.bias")
layer_norm("NoBias", "layer_norm", differs, bias="torch.zeros_like(self.bias)")
activation("SiluAndMul", "Swapped", "silu_and_mul_swapped", differs)
activation("SiluAndMul", "Hard", "silu_and_mul_hard", differs)
activation("SiluAndMul", "LastColumn", "silu_and_mul_last_column", differs)
activation("Gelu", "ByTanh", "gelu_by_tanh", differs)
activation("Gelu", "BySigmoid", "gelu_by_sigmoid", differs)
activation("Gelu", "FarOut", "gelu_far_out", differs, dtypes=("float32",))
activation("Gelu", "Noise", "gelu", differs, result="out + 1e-3 * torch.randn_like(out)", dtypes=("float32",))
activation("Softmax", "WrongAxis", "softmax_wrong_axis", differs)
layer("RotateHalf", "OtherWay",
      ["half = x.shape[-1] // 2", "return torch.cat((x[..., half:], -x[..., :half]), dim=-1)"], differs)
# Rounding in the wrong place or sums in the wrong dtype:
norm("NarrowSum", "rms_norm_narrow_sum", differs, dtypes=("bfloat16",))
norm("NarrowScale", "rms_norm_narrow_scale", differs)
norm("NarrowWeight", "rms_norm_narrow_weight", differs, dtypes=("float32",))
norm("RoundedTwice", "gemma_norm_rounded_twice", differs, original="GemmaNorm", dtypes=("bfloat16",))
# Right for usual values only:
layer_norm("Cancels", "layer_norm_cancels", "result differs", dtypes=("float32",))
activation("SiluAndMul", "Overflows", "silu_and_mul_overflows", "large values: its result differs: NaN at other")
activation("SiluAndMul", "HalfRange", "silu_and_mul_half_range", "large values: its result differs")
activation("ReLU", "HalfRange", "relu_half_range", "large values: its result differs")
activation("ReLU", "MendsNaN", "relu_mends_nan", "NaN at other places")
activation("ReLU", "Infinity", "relu_infinity", "infinity at other places")
layer("ReLU", "Times", ["return x * (x > 0)"], "negative infinity: its result differs: NaN at other places")
norm("FiveForNaN", "rms_norm", "infinity: its result differs: NaN at other places",
     result="torch.where(torch.isinf(x), torch.full_like(out, 5.0), out)", forms=FORMS[:2])
activation("Gelu", "FiveForNaN", "gelu", "negative infinity: its result differs: NaN at other places", forms=FORMS[:2],
           result="torch.where(x == float('-inf'), torch.full_like(out, 5.0), out)")
norm("OneToken", "rms_norm", "a single row: its result differs", result="out if x.numel() > x.shape[-1] else out * 0",
     forms=FORMS[:2])
norm("LongLength", "rms_norm", "67 inner rows in the place of 16: its result differs", result="out if x.shape[-2] <= 64 else out * 0",
     forms=FORMS[:2])
layer("MaskedSoftmax", "NoMask", ["return torch.softmax(x, dim=-1)"], "masks of other flags: its result differs",
      arguments=("x", "mask"), forms=("scripted",))
activation("Softmax", "MaskedStart", "softmax_masked_start", "negative infinity: its result differs: NaN at other places")
activation("Softmax", "Unshifted", "softmax_unshifted", "large values: its result differs: NaN at other")
# Right for some sizes and layouts only:
norm("FirstBatch", "rms_norm_first_batch", "rows in the place .* differs")
norm("BlocksOfRows", "rms_norm_blocks_of_rows", "rows in the place .* differs")
norm("NoRows", "rms_norm_no_rows", " 0 (inner )?rows in the place .* fails where the original does not: .*invalid")
activation("SiluAndMul", "MultipleOf8", "silu_and_mul_multiple_of_8", "columns in the place .* differs")
activation("SiluAndMul", "AsIfContiguous", "silu_and_mul_as_if_contiguous", "not contiguous .* differs")
activation("ReLU", "FirstMatrix", "relu_first_matrix", "result differs")
activation("HeadGelu", "OneLength", "gelu", r"19 inner rows in the place of 16 \(dimension 2 of tensor 1\): its result differs",
           result="torch.where((torch.arange(x.shape[2]) < 16).unsqueeze(-1), out, x)", dtypes=("float32",))
activation("HeadGelu", "FourHeads", "gelu", "inner rows in the place of 4: its result differs", result="out if x.shape[1] == 4 else x",
           dtypes=("float32",))
scores("EqualLengths", "k", "inner rows in the place of 16.*: its result differs",
       ".masked_fill(torch.arange(k.shape[1]) >= q.shape[1], 0.0)")
activation("Softmax", "OneBlock", "softmax", "1025 columns in the place of 32: its result differs", result="out if x.shape[-1] <= 1024 else out * 0")
activation("Softmax", "WholeBlocks", "softmax", "127 columns in the place of 32: its result differs", result="out if x.shape[-1] % 64 < 63 else out * 0")
activation("Softmax", "LastBlock", "softmax", "1025 columns in the place of 32: its result differs",
           result="out if x.shape[-1] % 256 != 1 else out * 0")
activation("RotateHalf", "OneBlock", "relu", "1026 columns in the place of 32: its result differs",
           result="torch.cat((-x[..., x.shape[-1] // 2:], x[..., :x.shape[-1] // 2]), dim=-1) * (1.0 if x.shape[-1] <= 1024 else 0.0)")
activation("ReLU", "ShortLength", "relu", "1025 inner rows in the place of 16: its result differs", forms=FORMS[:2],
           result="out if x.dim() < 3 or x.shape[1] <= 256 else out * 0")
activation("ReLU", "FirstOf127", "relu", "127 rows in the place of 2: its result differs", forms=FORMS[:2],
           result="out if x.shape[0] != 127 else out * 0")
activation("ReLU", "LengthOf127", "relu", "127 inner rows in the place of 16: its result differs", forms=FORMS[:2],
           result="out if x.dim() < 3 or x.shape[1] != 127 else out * 0")
activation("FlatReLU", "", "relu", forms=("traced",))
activation("FlatReLU", "OneBlock", "relu", "1025 rows in the place of 3: its result differs", forms=("traced",),
           result="out if x.numel() <= 1024 * x.shape[-1] else out * 0")
activation("FlatReLU", "FewRows", "relu", "4099 rows in the place of 3: its result differs", forms=("traced",),
           result="out if x.shape[0] <= 2048 else out * 0")
activation("FlatReLU", "Index16", "relu", "4099 rows in the place of 3: its result differs", forms=("traced",),
           result="out if x.numel() < 65536 else out * 0")
# Right for the flags and rows that the model uses only:
plain("FilledSoftmax", "NaN", "torch.softmax(x.masked_fill(mask.logical_not(), float('-inf')), dim=-1)",
      "rows without any flag: its result differs: NaN at other places", arguments=MASKED)
plain("FusedAttention", "NaN", f"torch.matmul({WEIGHTS}, v).to(dtype)", "rows without any flag: its result differs: NaN at other places",
      before=(*WIDENED, *STEPS), arguments=(*QKV, "mask"))
plain("FilledSoftmax", "PaddedRight", "torch.softmax(x.masked_fill(mask.logical_not(), -1e9), dim=-1) * mask[..., :1].to(x.dtype)",
      "padded on the left: its result differs", arguments=MASKED, dtypes=("float32",))
plain("MaskedMean", "NoMask", "x.mean(1)", "masks of other flags: its result differs", arguments=MASKED)
plain("Rows", "First16", "x + self.weight[ids.clamp(max=15)] * (ids != 0).unsqueeze(-1).to(x.dtype)", "whole numbers .*: its result differs",
      arguments=KNOWN, attributes=TABLE, dtypes=("float32",))
plain("Rows", "NotTheLast", "x + self.weight[ids.clamp(max=2990)] * (ids != 0).unsqueeze(-1).to(x.dtype)",
      "whole numbers from 0 to 2999.*: its result differs", arguments=KNOWN, attributes=TABLE, dtypes=("float32",))
plain("Rows", "NoPadding", "x + self.weight[ids]", "whole numbers from 0 to 2999.*: its result differs", arguments=KNOWN, attributes=TABLE,
      dtypes=("float32",))
# Right for some arguments only, those that the model gives:
options_norm("OneEps", "eps = 0.25.* in the place of 1e-06: its result differs", before=CENTRED, eps="1e-6")
options_norm("NotCentred", "centred = True in the place of False: its result differs")
options_norm("OneGroup", "groups = 2 in the place of 1: its result differs", before=CENTRED, groups="1")
options_norm("Unbiased", "bias = a tensor of .* in the place of None: its result differs", before=CENTRED, result="out")
# Right for the numbers, layouts, weights and buffers of the model only:
plain("Rotation", "ShortTable", ROTATED, "whole numbers .*: its result differs", arguments=POSITIONED, attributes=FREQUENCIES, dtypes=("float32",),
      before=("angles = positions.clamp(max=512).unsqueeze(-1).to(torch.float32) * self.inv_freq.to(torch.float32)",))
plain("Rotation", "OwnTable", ROTATED, "other values in its buffers: its result differs", arguments=POSITIONED, dtypes=("float32",),
      before=("half = x.shape[-1] // 2", "inverse = torch.pow(10000.0, -torch.arange(half, dtype=torch.float32) / half)",
              "angles = positions.unsqueeze(-1).to(torch.float32) * inverse"))
plain("BatchNorm", "NoStatistics", "x * self.weight.view(-1, 1, 1) * (1.0 + self.eps) ** -0.5 + self.bias.view(-1, 1, 1)",
      "other values in its buffers: its result differs", attributes=(*LINEAR, "eps: float"), dtypes=("float32",))
plain("Softplus", "EarlyThreshold", "torch.where(x > 5.0, x, torch.nn.functional.softplus(x))", "values of every size .*differs", dtypes=("float32",))
plain("Softplus", "Window", "torch.where((x > 8) & (x < 30), 1.01 * x, torch.nn.functional.softplus(x))", "values of every size .*differs",
      dtypes=("float32",))
plain("Softplus", "NegativeWindow", "torch.where((x < -8) & (x > -30), 0.5 + 0 * x, torch.nn.functional.softplus(x))", "values of every size .*differs",
      dtypes=("float32",))
plain("Maximum", "FromZero", "torch.clamp(x, min=0).amax(-1)", "values around -200.*differs", dtypes=("float32",))
plain("Sum", "OneLayout", "x + torch.as_strided(y, x.size(), x.stride(), y.storage_offset())", r"not contiguous \(tensor . alone: .*differs",
      arguments=("x", "y"), dtypes=("float32",))
plain("Softplus", "BatchFirst", "torch.nn.functional.softplus(x if x.dim() < 3 or x.stride(0) >= x.stride(1) else x.flip(0))",
      r"not contiguous \(the first dimensions transposed\): its result differs", dtypes=("float32",))
plain("Softplus", "NoBroadcast", "torch.nn.functional.softplus(x if x.dim() == 0 or x.stride(0) > 0 or x.shape[0] < 2 else 2 * x)",
      r"not contiguous \(one row for all\): its result differs", dtypes=("float32",))
norm("PositiveWeight", "rms_norm", "weights of both signs: its result differs", weight="self.weight.abs()")
plain("FirstSoftmax", "Second", "torch.softmax(x, 1)", "[24] dimensions in the place of 3: its result differs", dtypes=("float32",))
plain("TopK", "Smallest", "values[..., :4], order[..., :4]", before=("values, order = torch.sort(x, dim=-1)",), type=TUPLE, fault=differs)
plain("TopK", "OtherPlaces", "values[..., :4], order[..., 1:5].contiguous()", before=TOP, type=TUPLE, fault="other whole numbers")
plain("Attention", "Unscaled", "torch.nn.functional.scaled_dot_product_attention(q * 1.05, k, v, attn_mask=mask)", differs, arguments=(*QKV, "mask"))
# Next to random numbers:
norm("Scaled", "rms_norm", differs, original="DroppedNorm", result=f"out * 0.7 * {DROPPED}", forms=SCRIPTED)
norm("WrongEps", "rms_norm", differs, original="DroppedNorm", eps="0.5", result=f"out * {DROPPED}", forms=SCRIPTED)
norm("DropsMore", "rms_norm", differs, original="DroppedNorm", result="out * (torch.rand_like(out) < 0.6)", forms=SCRIPTED)
norm("DropsOthers", "rms_norm", differs, original="DroppedNorm", result="torch.dropout(out, 0.3, True)", forms=SCRIPTED)
norm("Adds", "rms_norm", differs, original="DroppedNorm", result=f"(out + 0.2) * {DROPPED}", forms=SCRIPTED)
skipped("OtherBranch", 3, 0.3, "self.variance_epsilon", differs)
skipped("WrongEps", 2, 0.3, 0.5, differs)
skipped("MoreOften", 2, 0.6, "self.variance_epsilon", differs)
# A right result with wrong gradients:
trained("ReLU", "PassesAll", "ops.relu_passes_all(x)", "what the model gives it: its gradient of argument 1 differs")
trained("ReLU", "Detached", "ops.relu_trained(x.detach())", "what the model gives it: its gradient of argument 1 differs")
trained("RMSNorm", "NoMean", "ops.rms_norm_no_mean(x, self.weight, self.variance_epsilon)", "its gradient of argument 1 differs")
trained("RMSNorm", "FirstRows", "ops.rms_norm_first_rows(x, self.weight, self.variance_epsilon)",
        "rows in the place of .* its gradient of parameter weight differs")
trained("RMSNorm", "WeightUntrained", "ops.rms_norm_weight_untrained(x, self.weight, self.variance_epsilon)",
        "its gradient of parameter weight differs")
# What is left behind, shared or remembered:
norm("IntoInput", "rms_norm_into_input", "changes its argument 1 in place")
norm("IntoWeight", "rms_norm_into_weight", "changes its parameter weight in place")
norm("IsItsInput", "rms_norm", "shares memory with its argument 1|changes its argument 1 in place", result="x.copy_(out)")
norm("CountsTwice", "rms_norm", "leaves another calls behind than the original", original="CountingNorm",
     result="out + 0 * self.calls.add_(2).to(x.dtype)", forms=FORMS[:2])
norm("DoesNotCount", "rms_norm", "leaves another calls behind than the original", original="CountingNorm", forms=FORMS[:2])
norm("IntoBuffer", "rms_norm", "leaves another calls behind than the original", original="CountingNorm",
     result="out + 0 * self.calls.zero_().to(x.dtype)", forms=FORMS[:2])
activation("ReLU", "ReturnsTheInput", "relu", "shares memory with its argument 1",
           result="x if bool((x >= 0).all()) else out")
add_norm("ReturnsTheInput", "out, x", differs)
add_norm("SharesResults", "out, out", "result differs|share memory")
norm("KeepsBuffer", "rms_norm", "changes the result that it gave before", memory="ops.buffer_like(x)")
norm("Remembers", "rms_norm_remembers", differs)
norm("Drifts", "rms_norm_drifts", "differs when it is called again|result differs")
norm("Race", "rms_norm_race", "result differs")
norm("ReadsOn", "rms_norm_reads_on", "NaN at other places", dtypes=("float32",))
norm("OverTheEnd", "rms_norm_over_the_end", "writes outside of the memory", dtypes=("float32",))
# Right for one number of dimensions only; not for models of its own class.
activation("SecondSoftmax", "", "softmax", forms=())
layer("SecondSoftmax", "Second", ["return torch.softmax(x.to(torch.float64), 1).to(x.dtype)"], differs, forms=())
# Another kind of result:
norm("FloatResult", "rms_norm", "a Float tensor of shape", result="out.to(torch.float32)", dtypes=("bfloat16",))
norm("OtherStrides", "rms_norm", r"its inputs: its result differs: strides", original="LastNorm", result="out.transpose(0, -1).contiguous().transpose(0, -1)")
# Not one of the trial in one process: it takes the process with it.
activation("Gelu", "Crashes", "gelu_crashes", "crashed")


def source() -> str:
    header = '"""The layers of the trial."""\n\nimport torch\nimport torch.nn as nn\n\nfrom ._ops import ops\n'
    return "\n\n".join([header, *(trial.source for trial in trials)])


def by_name(name: str) -> Trial:
    return next(trial for trial in trials if trial.name == name)
