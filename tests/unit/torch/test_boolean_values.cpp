// `or` and `and` where their value counts.
#include "package_layer.hpp"

using namespace kernels;
using namespace kernels::torchscript;

namespace {

at::Tensor with_helper(const std::string& helper, const std::string& statements) {
    return run({{"layers.py",
                 imports + helper + "class L(nn.Module):\n  def forward(self, x):\n" + statements}},
               {x})
        .toTensor();
}

}  // namespace

TEST_CASE("`or` and `and` give one of their sides") {
    const auto times = [](const std::string& expression) {
        return (body("    return x * (" + expression + ")\n", torch::ones({4}))[0]).item<double>();
    };
    CHECK(times("self.eps or 1e-6") == 0.5);
    CHECK(times("self.eps and 0.25") == 0.25);
    CHECK(times("0 or 5") == 5);
    CHECK(times("0 and 5") == 0);
    CHECK(times("x.shape[0] and 5") == 5);
    CHECK(times("x.dim() - 1 or 2") == 2);
    CHECK(times("(x.dim() - 1) or 0 or 7") == 7);
    CHECK(times("len('' or 'qqq')") == 3);
    CHECK(times("len([] or [1, 2])") == 2);
    CHECK(times("len(getattr(self, 'nothing', None) or 'ab')") == 2);
    CHECK(times("(self.eps or x.shape[-1] ** -0.5) * 2") == 1);
    CHECK(times("(None or self.eps) * 2") == 1);
    // Of conditions it is a bool, as before.
    CHECK(times("2 if x.dim() == 1 and (self.eps or x.dim()) else 3") == 2);
    CHECK(times("int(bool(self.eps or 3))") == 1);
    CHECK(times("int(x.dim() == 1 and x.shape[0] > 3)") == 1);
    CHECK(body("    out = x\n    y = out is not None and out.dim() > 3\n    return x * int(y)\n", x)
              .equal(x * 0));
}

TEST_CASE("The side behind is computed when Python computes it") {
    const std::string touched = "    y = x.clone()\n    n = x.dim()\n    ";
    CHECK(body(touched + "n = n or int(y.add_(1).sum())\n    return y\n", x).equal(x));
    CHECK(body(touched + "n = n and int(y.add_(1).sum())\n    return y\n", x).equal(x + 1));
    // And the one in front once.
    CHECK(body(touched + "n = int(y.add_(1).numel()) or 3\n    return y * n\n", x).equal((x + 1) * 4));
}

TEST_CASE("A default that may be None") {
    const std::string f = "def f(x, n: Optional[int] = None):\n  n = n or 3\n  return x * n\n";
    CHECK(with_helper(f, "    return f(x) + f(x, 5) + f(x, 0)\n").equal(x * 11));
    const std::string untyped = "def f(x, n=None):\n  n = n or 3\n  return x * n\n";
    CHECK(with_helper(untyped, "    return f(x) + f(x, 5)\n").equal(x * 8));
    const std::string dtype = "def f(x, d=None):\n  return x.to(d or x.dtype)\n";
    CHECK((with_helper(dtype, "    return f(x, torch.float16)\n").scalar_type() == at::kHalf));
    CHECK((with_helper(dtype, "    return f(x)\n").scalar_type() == at::kFloat));
    const std::string optional = imports +
                                 "from typing import Optional\nclass L(nn.Module):\n"
                                 "  def forward(self, x, s: Optional[float]):\n"
                                 "    s = s or 0.25\n    return x * s\n";
    const testing::TemporaryFolder folder;
    write_package(folder, {{"layers.py", optional}});
    auto layer = plain_layer();
    CompileOptions options{op_namespace, {}, {}, std::vector<c10::TypePtr>{}};
    *options.arguments = {c10::TensorType::get(), c10::OptionalType::create(c10::FloatType::get())};
    compile_method(layer, layer.type(), "hub_forward",
                   HubModule::load(folder.path(), false).layer("L").forward, options);
    CHECK(layer.get_method("hub_forward")({x, 0.5}).toTensor().equal(x * 0.5));
    CHECK(layer.get_method("hub_forward")({x, 0.0}).toTensor().equal(x * 0.25));
    CHECK(layer.get_method("hub_forward")({x, c10::IValue()}).toTensor().equal(x * 0.25));
}

TEST_CASE("What stands behind a test for None that fails is not compiled") {
    const std::string none = "    n = getattr(self, 'nothing', None)\n";
    const auto gives = [&](const std::string& statements) { return body(none + statements, x); };
    CHECK(gives("    if n is not None and n.dim() != 1:\n      return x * 2\n    return x\n").equal(x));
    CHECK(gives("    assert n is None or n.shape == x.shape\n    return x\n").equal(x));
    CHECK(gives("    return x if n is None or n.dtype == x.dtype else x * 2\n").equal(x));
    CHECK(gives("    return x if not (n is not None and n.dim() > 1) else x * 2\n").equal(x));
    CHECK(gives("    return x if x is not None and n is not None and n.dim() == x.dim() else x * 2\n")
              .equal(x * 2));
    CHECK(gives("    return x if n and n.dim() == 1 else x * 2\n").equal(x * 2));
    CHECK(gives("    y = n is None or n.dim() > 3\n    return x * int(y)\n").equal(x));
    CHECK(gives("    y = n is not None and x.dim() == 1 and n.dim() > 3\n    return x * int(y)\n")
              .equal(x * 0));
    CHECK(gives("    while n is not None and n.dim() > 3:\n      x = x * 2\n    return x\n").equal(x));
    // Where it may be None or not, that is found when it runs.
    const std::string f =
        "def f(x, n: Optional[Tensor] = None):\n"
        "  if n is not None and n.dim() == x.dim() and (n.sum() == n.sum()):\n"
        "    return x * n\n  return x\n";
    CHECK(with_helper("from torch import Tensor\n" + f, "    return f(x) + f(x, x)\n").equal(x + x * x));
    const std::string untyped = "def f(x, n=None):\n  return x if n is None or n.dim() > 3 else x * n\n";
    CHECK(with_helper(untyped, "    return f(x) + f(x, x)\n").equal(x + x * x));
    // In the conditions of lists, those of whole numbers among them.
    const std::string lists =
        "def f(x, y: Optional[int] = None):\n"
        "  a = [[v for v in [1, 2, 3] if y is None or v > y] for w in [1, 2]]\n"
        "  return x * len(a[0])\n";
    CHECK(with_helper(lists, "    return f(x) + f(x, 2)\n").equal(x * 4));
}

TEST_CASE("Nor is what stands behind a test for a type or an attribute that fails") {
    const auto taken = [](const std::string& condition) {
        return body("    nothing = None\n    return x * 2 if " + condition + " else x\n", x).equal(x * 2);
    };
    CHECK_FALSE(taken("hasattr(self, 'gamma') and self.gamma.dim() == 1"));
    CHECK_FALSE(taken("hasattr(self, 'gamma') and self.gamma is not None and self.gamma.dim() == 1"));
    CHECK(taken("not hasattr(self, 'gamma') or self.gamma.dim() == 1"));
    CHECK(taken("hasattr(self, 'weight') and self.weight.dim() == 1"));
    CHECK_FALSE(taken("isinstance(nothing, torch.Tensor) and nothing.dim() == 1"));
    CHECK(taken("isinstance(self.weight, torch.Tensor) and self.weight.dim() == 1"));
    CHECK(body("    y = hasattr(self, 'gamma') and self.gamma > 2\n    return x if y else x * 2\n", x)
              .equal(x * 2));
    // One filter of a list behind another.
    CHECK(body("    n = len([t for t in [self.weight, None] if t is not None if t.dim() == 1])\n"
               "    return x * n\n",
               x)
              .equal(x));
}

TEST_CASE("Sides of different types are refused by line") {
    const auto said = [](const std::string& expression) {
        return refused({{"layers.py", head + "    return x * (" + expression + ")\n"}});
    };
    CHECK(said("self.eps or 1") ==
          "layers.py:7: in `L.forward`: `or` gives a value of type float or of type int; in TorchScript a "
          "value has "
          "one type");
    CHECK(said("x.numel() and x.sum()") ==
          "layers.py:7: in `L.forward`: `or` and `and` give one of their sides in Python, here one of type "
          "int; that "
          "can be compiled where the side in front is a variable");
    CHECK(said("x is not None and x.numel()").find("here one of type int") != std::string::npos);
}
