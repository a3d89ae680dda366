// What libtorch's compiler takes and Python does otherwise is refused by line, or done as Python does it.
#include <cmath>
#include <limits>

#include "package_layer.hpp"

using namespace kernels;
using namespace kernels::torchscript;

namespace {

std::string said_of_body(const std::string& statements, const std::string& above = "") {
    return refused(
        {{"layers.py", imports + above + "class L(nn.Module):\n  def forward(self, x):\n" + statements}});
}

at::Tensor given_body(const std::string& above, const std::string& statements, const at::Tensor& input = x) {
    return run({{"layers.py",
                 imports + above + "class L(nn.Module):\n  def forward(self, x):\n" + statements}},
               {input})
        .toTensor();
}

}  // namespace

TEST_CASE("A tensor is not taken for a number to compute with") {
    for (const char* statements :
         {"    return x * max(x.max(), x.mean())\n", "    return x * max(x)\n",
          "    return x * max(x.max(), x.mean(), x.sum())\n", "    return x / max(x.max(), 1)\n",
          "    return x * (7 // x.sum())\n",
          "    t = 1\n    for i in range(2):\n      t *= x.sum()\n    return x * t\n",
          "    t = 0\n    for i in range(3):\n      t = t + x.sum()\n    return x * t\n",
          "    t = 1\n    if x.dim() == 1:\n      t = t - x.sum()\n    return x * t\n",
          "    t = 0\n    for r in x:\n      t += r.sum()\n    return t * x\n"}) {
        INFO(statements);
        const auto words = said_of_body(statements);
        CHECK(words.starts_with("layers.py:"));
        CHECK((words.find("a tensor is taken for a number in ") != std::string::npos ||
               words.find("a variable that is a number gets a tensor") != std::string::npos));
    }
    // Sizes, indices and arguments of ops are taken of tensors by Python too.
    const auto two = torch::tensor({2});
    CHECK(given_body("", "    return x[int(x[2]):] + x[x[2].long():] + ops.scale(x, factor=x[2])[2:]\n")
              .equal(x.slice(0, 2, 4) * 4));
    // math makes numbers of tensors.
    const auto half = x.to(at::kBFloat16);
    CHECK(given_body("import math\n", "    return x * math.sqrt(x.max())\n", half)
              .equal(half * std::sqrt(3.0)));
}

TEST_CASE("The text of dtypes and floats is for people only") {
    for (const char* statements :
         {"    if str(x.dtype) == 'torch.float32':\n      return x\n    return x * 2\n",
          "    if f'{x.dtype}' == 'torch.float32':\n      return x\n    return x * 2\n",
          "    if 'float' in str(x.dtype):\n      return x\n    return x * 2\n",
          "    d = x.dtype\n    if str(d).split('.')[-1] == 'a':\n      return x\n    return x * 2\n"}) {
        INFO(statements);
        CHECK(said_of_body(statements).find("it computes with the text of a dtype") != std::string::npos);
    }
    CHECK(said_of_body("    return x * len(str(torch.float16))\n").find("the text of a dtype") !=
          std::string::npos);
    CHECK(said_of_body("    return x * len(str(self.eps))\n").find("the text of a float") !=
          std::string::npos);
    CHECK(given_body(
              "",
              "    if x.dim() > 3:\n      raise ValueError(f'no {x.dtype} {self.eps:.2f}' + str(x.dtype))\n"
              "    assert x.dim() == 1, f'{x.dtype}'\n    return x * len(f'{x.dim()}{x.device}')\n")
              .equal(x * 4));
    // A dtype is true, the one whose number is 0 too.
    const auto bytes = torch::ones({2}, at::kByte);
    CHECK(given_body("", "    d = x.dtype\n    if d:\n      return x * 2\n    return x\n", bytes)
              .equal(bytes * 2));
    CHECK(given_body("", "    if x.device:\n      return x * 2\n    return x\n").equal(x * 2));
    CHECK(said_of_body(
              "    d = 'cpu'\n    for i in range(2):\n      d = d + ''\n    if x.device == d:\n      return "
              "x\n    return x * 2\n")
              .find("a device is compared with a text") != std::string::npos);
}

TEST_CASE("Whole numbers stay whole") {
    const std::string f = "def f(s: float, n: float = 2):\n  return torch.full((2,), s) * n\n";
    CHECK((given_body(f, "    return f(1)\n").scalar_type() == at::kLong));
    CHECK((given_body(f, "    return f(1.0)\n").scalar_type() == at::kFloat));
    CHECK(said_of_body("    return x * min(1, 2.5)\n").find("min of a whole number and a float") !=
          std::string::npos);
    CHECK(given_body("", "    return x * (2 if isinstance(True, int) else 3)\n").equal(x * 2));
    CHECK(given_body("", "    return x * (2 if isinstance(x.dim(), (int, float)) else 3)\n").equal(x * 2));
    CHECK(
        said_of_body("    return torch.tensor([True, 2.5])\n").find("a list of values of different types") !=
        std::string::npos);
}

TEST_CASE("A dataclass that is more than its fields is refused") {
    const std::string use = "    c = Cfg(3)\n    return x * c.a\n";
    const std::string start = "from dataclasses import dataclass, field\n@dataclass\nclass Cfg:\n";
    CHECK(given_body(start + "  a: int = 2\n  b: float = 0.5\n", use).equal(x * 3));
    for (const std::string members : {"  a: int\n  def __post_init__(self):\n    self.a = 5\n",
                                      "  a: int\n  def __init__(self, n):\n    self.a = n\n",
                                      "  b: int = field(init=False, default=5)\n  a: int = 1\n",
                                      "  K: ClassVar[int] = 1\n  a: int = 2\n"}) {
        INFO(members);
        CHECK(said_of_body(use, start + members).find("the class Cfg has ") != std::string::npos);
    }
    CHECK(said_of_body(use, "@dataclass\nclass Base:\n  b: int = 1\n" + start.substr(start.find('@')) +
                                "  a: int = 2\n")
              .find("nothing") == 0);
    CHECK(said_of_body(use,
                       "@dataclass\nclass Base:\n  b: int = 1\n@dataclass\nclass Cfg(Base):\n  a: int = 2\n")
              .find("the class Cfg has the base class Base") != std::string::npos);
}

TEST_CASE("Limits of dtypes, and functions of torch.nn.functional") {
    CHECK(given_body("", "    return x.masked_fill(x > 0, torch.finfo(x.dtype).min)\n")
              .equal(x.masked_fill(x > 0, std::numeric_limits<float>::lowest())));
    const auto value = [](const std::string& expression, at::ScalarType dtype) {
        return given_body("", "    return torch.full((1,), float(" + expression + "), dtype=torch.float64)\n",
                          x.to(dtype))
            .item<double>();
    };
    CHECK(value("torch.finfo(x.dtype).max", at::kHalf) ==
          static_cast<double>(std::numeric_limits<at::Half>::max()));
    CHECK(value("torch.finfo(x.dtype).eps", at::kBFloat16) ==
          static_cast<double>(std::numeric_limits<at::BFloat16>::epsilon()));
    CHECK(value("torch.finfo(x.dtype).tiny", at::kFloat) == std::numeric_limits<float>::min());
    CHECK(value("torch.finfo(x.dtype).smallest_normal", at::kDouble) == std::numeric_limits<double>::min());
    CHECK(value("torch.finfo(torch.float64).max", at::kFloat) == std::numeric_limits<double>::max());
    CHECK(value("torch.finfo(torch.bfloat16).min", at::kFloat) ==
          static_cast<double>(std::numeric_limits<at::BFloat16>::lowest()));
    CHECK(value("torch.iinfo(torch.int8).min", at::kFloat) == -128);
    CHECK(value("torch.iinfo(x.dtype).max", at::kInt) == std::numeric_limits<std::int32_t>::max());
    CHECK(said_of_body("    return x * torch.finfo(x.dtype).bits\n").find(".bits of torch.finfo") !=
          std::string::npos);
    const auto image = torch::randn({2, 4, 3});
    CHECK(given_body("", "    return F.group_norm(x, 2, self.weight)\n", image)
              .equal(at::group_norm(image, 2, torch::full({4}, 3.0))));
    CHECK(given_body("", "    return F.relu6(x * 4)\n").equal(at::relu6(x * 4)));
    const auto scores = torch::randn({2, 4});
    CHECK(given_body("",
                     "    return F.cross_entropy(x, torch.arange(2), reduction='sum', label_smoothing=0.1)\n",
                     scores)
              .equal(at::cross_entropy_loss(scores, torch::arange(2), {}, at::Reduction::Sum, -100, 0.1)));
}

TEST_CASE("Loops without an end, and division in place") {
    CHECK(given_body("", "    n = 0\n    while True:\n      n += 1\n      if n > 4:\n        return x * n\n")
              .equal(x * 5));
    CHECK(given_body("", "    n = -7\n    n //= 2\n    return x * n\n").equal(x * -4));
    const auto input = x.clone();
    CHECK(given_body("", "    x //= 2\n    y = x\n    y %= 2\n    return x\n", input)
              .equal(at::remainder(at::floor_divide(x, 2), 2)));
    CHECK(input.equal(at::remainder(at::floor_divide(x, 2), 2)));
}

TEST_CASE("A long chain of elifs") {
    std::string chain = "    n = x.shape[0]\n    if n == 1000:\n      return x\n";
    for (int i = 1; i <= 100; ++i)
        chain += "    elif n == " + std::to_string(i) + ":\n      return x * " + std::to_string(i) + "\n";
    CHECK(given_body("", chain + "    return x\n").equal(x * 4));
}

TEST_CASE("A reason is the same in each run") {
    const auto words = said_of_body("    for n, k in self.child.items():\n      x = k(x)\n    return x\n");
    CHECK(words.find("0x") == std::string::npos);
    CHECK(words.find("has no attribute items") != std::string::npos);
    CHECK(said_of_body("    return x * len(self.__class__.__name__)\n").find("attributes =") ==
          std::string::npos);
}
