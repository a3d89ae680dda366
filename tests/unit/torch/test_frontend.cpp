// Sources in the ways in which kernels are published, compiled and run beside what they mean.
#include <limits>

#include "package_layer.hpp"

using namespace kernels;
using namespace kernels::torchscript;
using kernels::testing::TemporaryFolder;

TEST_CASE("Ops in every spelling, with what Python converts") {
    CHECK(
        body("    out = torch.empty_like(x)\n    ops.relu(out, x)\n    return out\n", x).equal(at::relu(x)));
    CHECK(body("    return torch.ops.front_test.scale(x, factor=3)\n", x).equal(x * 3));
    CHECK(body("    return ops.scale.default(x, factor=x.shape[0], bias=self.weight)\n", x).equal(x * 4 + 3));
    CHECK(run({{"layers.py",
                "import torch\nfrom . import _ops\nclass L(torch.nn.Module):\n  def forward(self, x):\n"
                "    return _ops.ops.scale(x)\n"}},
              {x})
              .toTensor()
              .equal(x * 2));
    CHECK(run({{"layers.py",
                "import torch\nkernels = torch.ops.front_test\nclass L(torch.nn.Module):\n"
                "  def forward(self, x):\n    return kernels.scale(x)\n"}},
              {x})
              .toTensor()
              .equal(x * 2));
}

TEST_CASE("An op that is not there") {
    const auto said = [](const std::string& op) {
        return refused({{"layers.py", head + "    return ops." + op + "(x)\n"}});
    };
    CHECK(said("scael").find("no op `scael`: did you mean `scale`?") != std::string::npos);
    CHECK(said("implemented")
              .find("no op `implemented`: it implements one of this name and declares no "
                    "schema of it") != std::string::npos);
    CHECK(said("implementde").find("did you mean") == std::string::npos);
}

TEST_CASE("Tuple and list results") {
    CHECK(body("    a, b = ops.both(x)\n    return a - b\n", x).equal(1 - x));
    CHECK(body("    a, b = ops.all(x)\n    return a - b\n", x).equal(1 - x));
    CHECK(body("    return ops.all(x)[0]\n", x).equal(x + 1));
    CHECK(body("    a, *rest = ops.all(x)\n    return rest[0] + len(rest)\n", x).equal(x * 2 + 1));
    const auto both = run({{"layers.py", head + "    return ops.both(x)\n"}}, {x}).toTuple();
    CHECK(both->elements()[1].toTensor().equal(x * 2));
}

TEST_CASE("Attributes of self, its children, and constants that stand in for what it lacks") {
    CHECK(body("    return self.child(x) + self.child.weight + self.eps + self.given\n", x).equal(x + 27.5));
    CHECK(body("    return x * getattr(self, 'nothing', 2) if hasattr(self, 'weight') else x.nothing\n", x)
              .equal(x * 2));
    CHECK(body("    if hasattr(self, 'nothing'):\n      return self.nothing(x)\n    return x\n", x).equal(x));
}

TEST_CASE("Division of whole numbers is Python's, and no divisor crashes") {
    const auto value = [](const std::string& expression, std::int64_t a, std::int64_t b) {
        const std::string layer = imports + "class L(nn.Module):\n  def forward(self, a: int, b: int):\n";
        return run({{"layers.py", layer + "    return " + expression + "\n"}}, {a, b});
    };
    for (const std::int64_t a : {7, -7, 6, 0}) {
        for (const std::int64_t b : {2, -2, 1, -1, 7}) {
            const std::int64_t floor = (a - ((a % b + b) % b)) / b;
            CHECK(value("a // b", a, b).toInt() == floor);
            CHECK(value("a % b", a, b).toInt() == a - floor * b);
            const auto both = value("divmod(a, b)", a, b).toTuple();
            CHECK(both->elements()[0].toInt() == floor);
            CHECK(both->elements()[1].toInt() == a - floor * b);
        }
    }
    constexpr auto least = std::numeric_limits<std::int64_t>::min();
    CHECK(value("a % b", least, -1).toInt() == 0);
    CHECK(value("a // b", least, 2).toInt() == least / 2);
    value("a // b", least, -1);
    value("divmod(a, b)", least, -1);
    for (const char* expression : {"a // b", "a % b", "divmod(a, b)"})
        CHECK_THROWS(value(expression, 1, 0));
    CHECK(body("    n = 3\n    for i in range(2):\n      n = n - 2\n    m = -9223372036854775807\n"
               "    if n < 0:\n      m = m - 1\n    return x + (m // n) * 0\n",
               x)
              .equal(x));
    CHECK(body("    return (x * 4) // self.child.weight\n", x)
              .equal((x * 4).floor_divide(torch::full({4}, 10.0))));
    CHECK(body("    return x % self.eps + 7.5 % self.eps\n", x).equal(x.remainder(0.5)));
    CHECK(refused({{"layers.py", head + "    return x + ((-9223372036854775807 - 1) // -1)\n"}})
              .find("layers.py:7: in `L.forward`: the value of // is beyond the 64 bits") !=
          std::string::npos);
}

TEST_CASE("Tuples of tuples that helpers build") {
    std::string text = imports + "def twice(t):\n  return (t, t)\n" +
                       "class L(nn.Module):\n  def forward(self, x):\n    t0 = twice(x)\n";
    for (int i = 1; i < 30; ++i)
        text += "    t" + std::to_string(i) + " = twice(t" + std::to_string(i - 1) + ")\n";
    CHECK(refused({{"layers.py", text + "    return x\n"}})
              .find("takes a tuple of tuples with more than 1000 parts") != std::string::npos);
}

TEST_CASE("Autograd functions are their forward") {
    const std::string function = imports + R"(
class Scale(torch.autograd.Function):
  @staticmethod
  @torch.amp.custom_fwd(device_type="cuda")
  def forward(ctx, x, factor, bias=None):
    ctx.factor = factor
    ctx.save_for_backward(
        x)
    ctx.needs = ctx.needs_input_grad[0]
    return ops.scale(x, factor=ctx.factor, bias=bias)

  @staticmethod
  def backward(ctx, grad):
    return grad * ctx.factor, None, lambda: 1
)";
    const std::string layer = "class L(nn.Module):\n  def forward(self, x):\n    ";
    CHECK(run({{"layers.py", function + layer + "return Scale.apply(x, self.eps)\n"}}, {x})
              .toTensor()
              .equal(x / 2));
    // In an expression, twice, by another name.
    CHECK(run({{"layers.py",
                function + "scale = Scale.apply\n" + layer + "return scale(x, 2) + Scale.apply(x, 3, x)\n"}},
              {x})
              .toTensor()
              .equal(x * 6));
}

TEST_CASE("Functions and constants of other modules, compiled for what they are given") {
    const Files files = {
        {"helpers.py",
         "import torch\nfrom .numbers import EPS\nfrom ._ops import ops\n\n"
         "def add(x, y=1, *, scale: float = 2, flag=None):\n"
         "  \"\"\"x is anything.\"\"\"\n"
         "  if flag is None:\n    flag = EPS\n"
         "  return (x + y) * scale + flag\n\n"
         "def size(shape): return shape[0]\n"},
        {"numbers.py", "BASE = 1e-1\nEPS: float = 5 * BASE\n"},
        {"layers.py",
         imports + "from . import helpers\nfrom .helpers import add as plus\n"
                   "class L(nn.Module):\n  def forward(self, x):\n"
                   "    return plus(x, 2.0, scale=3) + helpers.add(1, flag=x) + helpers.size(x.shape)\n"}};
    CHECK(at::allclose(run(files, {x}).toTensor(), (x + 2) * 3 + 0.5 + (4 + x) + 4));
}

TEST_CASE("Dataclasses, optional values and static branches") {
    const Files files = {{"layers.py", imports + R"(
from dataclasses import dataclass

@dataclass
class Packed:
    w: torch.Tensor
    n: int
    bias: torch.Tensor | None = None

def apply(p: Packed, x: torch.Tensor) -> torch.Tensor:
    if getattr(p, "bias", None) is not None:
        return ops.scale(x * p.w, factor=p.n, bias=p.bias)
    return x * p.w

class L(nn.Module):
    def forward(self, x):
        return apply(Packed(w=self.weight, n=2, bias=getattr(self, "weight", None)), x) + apply(Packed(x, 1), x)
)"}};
    CHECK(run(files, {x}).toTensor().equal(x * 6 + 3 + x * x));
}

TEST_CASE("Arguments take the types of what is replaced, and those it has not keep their defaults") {
    const std::string text =
        imports +
        "class L(nn.Module):\n  def forward(self, x, sizes: list[tuple], scale=3, out=None, **kwargs):\n"
        "    n = kwargs.pop('n', 1)\n    if out is None:\n      out = x * scale\n    return out * "
        "sizes[0][1] + n\n";
    c10::impl::GenericList sizes(c10::TupleType::create({c10::IntType::get(), c10::IntType::get()}));
    sizes.push_back(c10::ivalue::Tuple::create(5, 6));
    CHECK(run({{"layers.py", text}}, {x, sizes}).toTensor().equal(x * 18 + 1));
    CHECK(run({{"layers.py", text}}, {x, sizes, 2}).toTensor().equal(x * 12 + 1));
}

TEST_CASE("torch, torch.nn.functional, math, dtypes, shapes, assertions") {
    CHECK(body("    return F.silu(x) + F.softmax(x, dim=-1, dtype=torch.float32) + nn.functional.dropout(x, "
               "0)\n",
               x)
              .allclose(at::silu(x) + at::softmax(x, -1) + x));
    CHECK(body("    from math import sqrt\n    import math\n    return x * sqrt(4) + math.pi\n", x)
              .allclose(x * 2 + M_PI));
    CHECK(body("    y = x.to(torch.bfloat16)\n    assert y.dtype == torch.bfloat16, f'no {y.dtype}'\n    "
               "return y.to(x.dtype)\n",
               x)
              .equal(x));
    CHECK(body("    return x.to(torch.float8_e4m3fn).float()\n", x).equal(x));
    CHECK(
        body("    return x.view(2, 2).reshape(*x.shape[:-1], -1).new_ones((*x.shape, 1), device=x.device)\n",
             x)
            .equal(torch::ones({4, 1})));
    CHECK(body("    if 0 < x.dim() and not isinstance(x, torch.Tensor):\n      raise ValueError(f'no {x}')\n "
               "   return x\n",
               x)
              .equal(x));
    CHECK(
        body("    for i in range(3):\n      x += i\n    return -x ** 2\n", x.clone()).equal(-(x + 3).pow(2)));
    CHECK_THROWS_WITH(body("    raise ValueError(f'dim {x.dim()}')\n", x), doctest::Contains("dim 1"));
}

TEST_CASE("Gradients are off where the source turns them off, and on again behind") {
    const auto y = x.clone().requires_grad_();
    const auto result =
        run({{"layers.py",
              imports + "@torch.no_grad()\ndef quiet(x): return x * 2\n"
                        "class L(nn.Module):\n  def forward(self, x):\n"
                        "    with torch.no_grad():\n      a = x * 3\n    return a, quiet(x), x * 4\n"}},
            {y})
            .toTuple();
    CHECK(!result->elements()[0].toTensor().requires_grad());
    CHECK(!result->elements()[1].toTensor().requires_grad());
    CHECK(result->elements()[2].toTensor().requires_grad());
}

TEST_CASE("A module's own names hide Python's") {
    CHECK(run({{"layers.py", imports +
                                 "def max(a, b): return a + b\nclass L(nn.Module):\n  def forward(self, x):\n"
                                 "    return max(x, 1)\n"}},
              {x})
              .toTensor()
              .equal(x + 1));
}

TEST_CASE("What cannot be compiled is named with its place") {
    const auto why = [](const std::string& statements) {
        return refused({{"layers.py", head + statements}});
    };
    CHECK(why("    return ops.rleu(x)\n") ==
          "layers.py:7: in `L.forward`: the kernel's library has no op `rleu`: did you mean `relu`?");
    CHECK(why("    y = x\n    return self.nothing\n") ==
          "layers.py:8: in `L.forward`: the kernel's layer needs the attribute nothing, which this layer "
          "does not have; give "
          "it as "
          "attributes = { nothing = … } in the binding");
    CHECK(why("    import numpy as np\n    return np.abs(x)\n") ==
          "layers.py:8: in `L.forward`: numpy is Python code outside the kernel, which TorchScript cannot "
          "call");
    CHECK(why("    return F.nothing(x)\n") ==
          "layers.py:7: in `L.forward`: torch.nn.functional.nothing is none of the functions that can be "
          "compiled");
    CHECK(why("\n    for i in range(2):\n      y = x * i\n    return y\n") ==
          "layers.py:10: in `L.forward`: `y` gets its value only in the loop at line 8, and TorchScript "
          "knows no "
          "such variable behind it; give it a value before the loop");
    CHECK(why("    for i in range(2):\n      for j in range(2):\n        y = x\n      x = x + y\n    return "
              "x\n")
              .starts_with("layers.py:10: in `L.forward`: `y` gets its value only in the loop at line 8, "));
    CHECK(why("    for i in range(2):\n      x = x + y\n      y = x\n    return x\n")
              .find("undefined value y") != std::string::npos);
    CHECK(why("\n    return unknown(x)\n") == "layers.py:8: in `L.forward`: undefined value unknown");
    CHECK(why("    return ops.scale(x, factor=x.shape)\n")
              .find("layers.py:7: in `L.forward`: the argument factor of scale is of type ") == 0);
    CHECK(refused({{"layers.py",
                    imports + "CACHE = {}\n" + head.substr(imports.size()) + "    return CACHE['x']\n"}}) ==
          "layers.py:5: a list or dictionary of the module, which Python code may change");
    CHECK(refused({{"layers.py", imports + "N = torch.cuda.device_count()\n" + head.substr(imports.size()) +
                                     "    return x * N\n"}}) ==
          "layers.py:5: a value that a call gives when the module is imported");
    CHECK(refused({{"layers.py", imports + "def f(x): return f(x)\n" + head.substr(imports.size()) +
                                     "    return f(x)\n"}}) == "layers.py:5: the function `f` calls itself");
    CHECK(refused({{"layers.py", imports + "import triton\n@triton.jit\ndef k(x): pass\n" +
                                     head.substr(imports.size()) + "    k[(1,)](x)\n    return x\n"}}) ==
          "layers.py:10: in `L.forward`: it calls the Triton kernel k; it leads to the Triton kernel k "
          "(layers.py:7)");
    CHECK(refused({{"helpers.py", "def f(x):\n  y = 1\n  return [z for y in x for z in y]\n"},
                   {"layers.py", imports + "from .helpers import f\n" + head.substr(imports.size()) +
                                     "    return f(x)\n"}}) ==
          "helpers.py:3: in `f`: TorchScript has not: a list comprehension with several loops");
}

TEST_CASE("Functions of a package") {
    with_ops();
    const TemporaryFolder folder;
    write_package(folder,
                  {{"__init__.py",
                    imports + "from .more import scale as scaled\n"
                              "def relu(x, out=None):\n  if out is None:\n    out = torch.empty_like(x)\n"
                              "  ops.relu(out, x)\n  return out\n"},
                   {"more.py",
                    "from ._ops import ops\ndef scale(x, factor, eps=0):\n"
                    "  return ops.scale(x, factor=factor, bias=None) + eps\n"}});
    const auto package = HubModule::load(folder.path(), true);
    torch::jit::CompilationUnit unit;
    auto& relu =
        compile_function(unit, "relu", *package.function("relu"), {op_namespace, {}, {}, std::nullopt});
    CHECK(relu({x}).toTensor().equal(at::relu(x)));
    const auto out = torch::empty_like(x);
    CHECK(relu({x, out}).toTensor().is_same(out));
    // `factor` goes to an op as it is, so it is what the op takes.
    auto& scaled =
        compile_function(unit, "scaled", *package.function("scaled"), {op_namespace, {}, {}, std::nullopt});
    CHECK(scaled({x, 3.0}).toTensor().equal(x * 3));
    CHECK(scaled({x, 3.0, 1}).toTensor().equal(x * 3 + 1));
    for (const auto* node : torch::jit::toGraphFunction(scaled).graph()->nodes())
        CHECK(node->kind() != c10::prim::CallFunction);
}

TEST_CASE("A refused layer leaves the class as it was, and functions that double are stopped") {
    with_ops();
    const TemporaryFolder folder;
    std::string doubling = imports + "def f0(x): return x + 1\n";
    for (int i = 1; i < 30; ++i) {
        const std::string last = "f" + std::to_string(i - 1);
        doubling += "def f" + std::to_string(i) + "(x): return " + last + "(" + last + "(x))\n";
    }
    write_package(folder,
                  {{"layers.py", doubling + "class L(nn.Module):\n  def forward(self, x): return f29(x)\n"}});
    auto layer = plain_layer();
    const auto forward = HubModule::load(folder.path(), false).layer("L").forward;
    CHECK_THROWS_WITH_AS(
        compile_method(layer, layer.type(), "hub_forward", forward, {op_namespace, {}, {}, std::nullopt}),
        doctest::Contains("becomes too large"), Error);
    CHECK(!layer.find_method("hub_forward"));
}
