"""What tracing loses of a layer: the order of its results, which is then that of their use, and arguments that are None."""

import json
import subprocess
import sys
import unittest
import unittest.mock

import harness
from trial_world import KERNELS, LAY_OUT, LIBRARY, NAMESPACE, variant

RUNTIME = harness.need("KERNELS_RUNTIME_LIB")

import torch  # noqa: E402  (only after trial_world's check)

HEAD = "from typing import Optional, Tuple\nimport torch\nfrom torch import Tensor, nn\n"
LAYERS = """
class Parts(nn.Module):
    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        a, b = x.chunk(2, -1)
        return torch.tanh(a), torch.sigmoid(b)


class Step(nn.Module):
    def forward(self, x: Tensor, past: Optional[Tensor] = None, scale: Optional[Tensor] = None) -> Tensor:
        if past is not None:
            x = x + past
        if scale is not None:
            x = x * scale
        return torch.tanh(x)


"""
KERNELS_OF_SCALE = """
class Scale(nn.Module):
    weight: Tensor

    def forward(self, x):
        return torch.tanh(x * self.weight)


class AbsScale(nn.Module):  # wrong, which the model's own weights do not tell
    weight: Tensor

    def forward(self, x):
        return torch.tanh(x * self.weight.abs())


class ForkNorm(nn.Module):  # right: it sums one after the other
    weight: Tensor

    def forward(self, x):
        mean = torch.zeros_like(x[..., :1])
        for i in range(x.shape[-1]):
            mean = mean + x[..., i:i + 1]
        h = x - mean / x.shape[-1]
        return h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight
"""
MODELS = """
import sys

class First(nn.Module):  # uses the first result first
    def __init__(self):
        super().__init__()
        self.parts = Parts()
    def forward(self, x):
        a, b = self.parts(x)
        return a.exp() - b * 2

class Second(First):
    def forward(self, x):
        a, b = self.parts(x)
        return a - b * 2

class Last(First):
    def forward(self, x):
        return self.parts(x)[1] * 2

class Steps(nn.Module):
    def __init__(self, past=None):
        super().__init__()
        self.step = Step()
        self.past = [past]  # no part of the model's state: tracing writes it into the code
    def forward(self, x):
        return self.step(x, self.past[0]) + 1

class StepsTwice(Steps):
    def forward(self, x):
        return self.step(x, x) + 1

class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(8))
    def forward(self, x):
        return torch.tanh(x * self.weight)

class Scales(nn.Module):  # tracing makes an argument of the weight that it has read already
    def __init__(self):
        super().__init__()
        self.first = Scale()
        self.second = nn.Sequential(self.first)
    def forward(self, x):
        return self.second(self.first(x) + 1)

class ForkNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(256))
    def branch(self, x):
        h = x.to(torch.float32)
        h = h - h.mean(-1, keepdim=True)
        return (h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-5)).to(x.dtype) * self.weight
    def forward(self, x):
        return torch.jit.wait(torch.jit.fork(self.branch, x))

class Forks(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = Scale()
    def forward(self, x):
        return torch.jit.wait(torch.jit.fork(self.scale, x)) + 1

torch.jit.script(nn.Sequential(nn.Linear(256, 256), ForkNorm())).save("Fork-scripted.pt")
torch.jit.script(Forks()).save("Forks-scripted.pt")
class Keeps(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("kept", torch.zeros(8))
    def forward(self, x):
        with torch.no_grad():
            self.kept.add_(x.mean(0))
        return self.kept

@torch.jit.script
class Half:
    def __init__(self, factor: float):
        self.factor = factor
    def of(self, x: torch.Tensor):
        return x * self.factor

class Within(nn.Module):
    def __init__(self):
        super().__init__()
        self.keeps = Keeps()
        self.scale = Scale()
    def forward(self, x):
        with torch.no_grad():
            x = self.scale(Half(0.5).of(x + self.keeps(x)))
        return x + self.keeps(x)

torch.jit.script(Within()).save("Within-scripted.pt")
quantized = nn.Sequential(nn.Linear(8, 8), Scale()).eval()
torch.jit.script(torch.ao.quantization.quantize_dynamic(quantized, {nn.Linear})).save("Quantized-scripted.pt")
x = torch.randn(3, 8)
torch.jit.trace(Scales(), x).save("Scales-traced.pt")
torch.jit.trace(StepsTwice(), x).save("StepsTwice-traced.pt")
for name, past in (("Steps", None), ("StepsOn", torch.randn(8))):
    torch.jit.trace(Steps(past), x).save(f"{name}-traced.pt")
torch.save(x, "x.pt")
torch.jit.trace(Last(), x).save("Last-traced.pt")
for model in (First(), Second()):
    name = type(model).__name__
    torch.jit.trace(model, x).save(f"{name}-traced.pt")
    torch.jit.script(model).save(f"{name}-scripted.pt")
    torch.jit.freeze(torch.jit.script(model.eval())).save(f"{name}-frozen.pt")
"""
KEPT = ("tracing does not keep the order of its 2 results; give the numbers of the kernel's, from 0, in the order of the traced "
        "code, as results = [ … ] in the binding")

NAMES = ("the kernel's layer takes 3 arguments, this one 1; give the kernel's names for those that it has, in the order of the traced "
         "code, as arguments = [ … ] in the binding: the others are None then")


class TracingTest(harness.WorldTest):
    def setUp(self):
        super().setUp()
        package = self.folder / "source" / "parts"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("from . import layers\n")
        (package / "layers.py").write_text(HEAD + LAYERS + KERNELS_OF_SCALE)
        subprocess.run([sys.executable, LAY_OUT, package.parent, self.folder / "kernel", "--id", NAMESPACE, "--variant", variant(),
                        "--library", LIBRARY], check=True)
        self.environment["KERNELS_LIBRARY_PATH"] = str(self.folder / "kernel" / "build" / variant())
        (self.folder / "models.py").write_text(HEAD + LAYERS + MODELS)
        self.run_command(sys.executable, "models.py")

    def kernelize(self, model, results="", *options, pattern="", scale="Scale", step="", status=0):
        (self.folder / "kernels.toml").write_text(f"""
[[layers]]
name = "Parts"
device = "cpu"
path = "kernel"
layer = "Parts"
[[layers]]
name = "Step"
device = "cpu"
path = "kernel"
layer = "Step"
[[layers]]
name = "Scale"
device = "cpu"
path = "kernel"
layer = "{scale}"
[[layers]]
name = "ForkNorm"
device = "cpu"
path = "kernel"
layer = "ForkNorm"
[[bindings]]
layer = "Parts"
class = "*Parts"
{results}
{pattern}
[[bindings]]
layer = "Step"
class = "*Step"
{step}
""")
        done = self.run_command(KERNELS, "kernelize", f"{model}.pt", "-o", "out.pt", "--device", "cpu", "--json", *options, status=status)
        self.said = done.stdout
        document = json.loads(done.stdout)
        if status != 0:
            return document["error"]["message"]
        return [row["reason"] or row["status"] for row in document["manifest"]["layers"]]

    def difference(self, model):
        torch.ops.load_library(RUNTIME)
        with unittest.mock.patch.dict("os.environ", self.environment), torch.no_grad():
            torch.ops.kernels.load(str(self.folder / "out.pt"))
            x = torch.load(self.folder / "x.pt")
            return (torch.jit.load(self.folder / "out.pt")(x) - torch.jit.load(self.folder / f"{model}.pt")(x)).abs().max().item()

    def test_traced(self):
        orders = {"First-traced": "[0, 1]", "Second-traced": "[1, 0]"}
        for model, order in orders.items():
            with self.subTest(model):
                code = torch.jit.load(self.folder / f"{model}.pt").parts.code
                self.assertIn("return (a0, b0)" if order == "[0, 1]" else "return (b0, a0)", code.replace("_", ""), code)
                self.assertEqual(self.kernelize(model), [KEPT])
                self.assertEqual(self.difference(model), 0)
                self.assertEqual(self.kernelize(model, f"results = {order}", "--verify"), ["replaced"])
                self.assertEqual(self.difference(model), 0)
        message = self.kernelize("Second-traced", "results = [0, 1]", "--verify", status=8)
        self.assertIn("parts", message)

    def test_scripted_and_frozen(self):
        for model in ("First-scripted", "Second-scripted"):
            self.assertEqual(self.kernelize(model), ["replaced"])
            self.assertEqual(self.difference(model), 0)
        pattern = 'pattern = "First-scripted.pt"'
        self.assertEqual(self.kernelize("Second-frozen", pattern=pattern), ["matched by pattern"])
        self.assertEqual(self.difference("Second-frozen"), 0)
        self.assertIn("results: does not go with a pattern", self.kernelize("Second-frozen", "results = [1, 0]", pattern=pattern, status=2))

    def test_arguments_that_may_be_none(self):
        """What is not there was None, or the same as another argument, or no part of the model's state: the binding says it."""
        for model, is_none in (("Steps-traced", True), ("StepsOn-traced", False), ("StepsTwice-traced", False)):
            with self.subTest(model):
                (said,) = self.kernelize(model)
                self.assertEqual(said, NAMES)
                self.assertEqual(self.difference(model), 0)
                if is_none:
                    self.assertEqual(self.kernelize(model, '', "--verify", step='arguments = ["x"]'), ["replaced"])
                    self.assertEqual(self.difference(model), 0)
                else:
                    self.assertIn("step (Step)", self.kernelize(model, '', "--verify", step='arguments = ["x"]', status=8))
        for names, said in (('["y"]', "the binding names y, which the kernel's layer does not take"),
                            ('["x", "past"]', "the binding names 2 arguments, and it takes 1"),
                            ('["past"]', NAMES)):
            self.assertEqual(self.kernelize("Steps-traced", step=f"arguments = {names}"), [said])

    def test_results_that_are_not_used(self):
        self.assertEqual(self.kernelize("Last-traced"), ["the kernel's layer returns (Tensor, Tensor), this one Tensor"])
        self.assertEqual(self.kernelize("Last-traced", "results = [1]", "--verify"), ["replaced"])
        self.assertEqual(self.difference("Last-traced"), 0)
        self.assertIn("parts (Parts)", self.kernelize("Last-traced", "results = [0]", "--verify", status=8))

    def test_weights_that_come_as_arguments(self):
        self.assertEqual(self.kernelize("Scales-traced", "", "--verify"), ["replaced"])
        self.assertEqual(self.difference("Scales-traced"), 0)
        message = self.kernelize("Scales-traced", "", "--verify", scale="AbsScale", status=8)
        self.assertIn("second.0 (Scale)", message)

    def test_layers_that_are_forked_or_beside_quantized_ones_are_verified(self):
        for model, layer in (("Forks", "scale"), ("Quantized", "1"), ("Within", "scale")):
            with self.subTest(model):
                self.assertEqual(self.kernelize(f"{model}-scripted", "", "--verify", "--input", "f32[3,8]"), ["replaced"])
                self.assertEqual("not compared in float64" in self.said, model == "Quantized")
                message = self.kernelize(f"{model}-scripted", "", "--verify", "--input", "f32[3,8]", scale="AbsScale", status=8)
                self.assertIn(f"{layer} (Scale)", message)

    def test_what_is_forked_is_exact_in_float64(self):
        self.assertEqual(self.kernelize("Fork-scripted", "", "--verify", "--input", "f32[3,5,256]"), ["replaced"])

    def test_orders_that_are_none(self):
        for order, said in (("[0, 0]", "is no list of the kernel's results by their numbers from 0, each once at most"), ("[]", "is no list of"),
                            ("[-1]", "is no list of"),
                            ('["a"]', "holds a text, not only whole numbers"), ("1", "is an integer, not a list of numbers")):
            with self.subTest(order):
                self.assertIn(said, self.kernelize("Second-traced", f"results = {order}", status=2))
        self.assertEqual(self.kernelize("Second-traced", "results = [2, 0, 1]"),
                         ["the binding names result 2, and the kernel's layer gives 2, from 0"])


if __name__ == "__main__":
    unittest.main()
