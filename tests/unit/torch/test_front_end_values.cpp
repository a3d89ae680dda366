// Values whose types or truth TorchScript wants to know where Python does not.
#include "package_layer.hpp"

using namespace kernels;
using namespace kernels::torchscript;

TEST_CASE("A variable that is None before it has its value") {
    const std::string under_condition =
        "    y = None\n    if x.shape[0] > 3:\n        y = x * 2\n    if y is not None:\n        return y\n"
        "    return x\n";
    CHECK(body(under_condition, x).equal(x * 2));
    CHECK(body(under_condition, x.slice(0, 0, 2)).equal(x.slice(0, 0, 2)));
    CHECK(
        body("    y = None\n    for i in range(3):\n        y = x + i\n    return x if y is None else y\n", x)
            .equal(x + 2));
    CHECK(
        body("    y = x\n    if x.shape[0] > 3:\n        y = None\n    return x * 3 if y is None else y\n", x)
            .equal(x * 3));
    // Several of them, and of types other than Tensor.
    CHECK(body("    n = None\n    s = None\n    if x.dim() == 1:\n        n = 2\n        s = 'a'\n"
               "    if n is not None and s is not None:\n        return x * n + len(s)\n    return x\n",
               x)
              .equal(x * 2 + 1));
    CHECK(run({{"layers.py",
                imports + "def f(x, bias=None):\n  if x.shape[0] > 3:\n    bias = x\n"
                          "  return x if bias is None else x + bias\n"
                          "class L(nn.Module):\n  def forward(self, x):\n    return f(x, None) + f(x)\n"}},
              {x})
              .toTensor()
              .equal(x * 4));
}

TEST_CASE("A variable that gets another type where it always does") {
    CHECK(body("    y = x\n    y = y.shape[0]\n    y = x * y\n    return y\n", x).equal(x * 4));
    CHECK(refused(
              {{"layers.py", head + "    y = 1\n    if x.shape[0] > 3:\n        y = 'a'\n    return y\n"}}) ==
          "layers.py:9: in `L.forward`: the variable y is of type int first and then of type str; in "
          "TorchScript "
          "a variable keeps its type");
}

TEST_CASE("What is empty is false") {
    const std::string rest = "    a, b, *rest = torch.split(x, 1)\n    return rest[0] if rest else x\n";
    CHECK(body(rest, x).equal(x.slice(0, 2, 3)));
    CHECK(body(rest, x.slice(0, 0, 2)).equal(x.slice(0, 0, 2)));
    CHECK(body("    t = (x, x)\n    s = ''\n    if t and not s:\n        return x * 2\n    return x\n", x)
              .equal(x * 2));
    CHECK(body("    y = None\n    if y:\n        return self.nothing\n    return x\n", x).equal(x));
}

TEST_CASE("A block without gradients that returns") {
    const std::string block =
        "    with torch.no_grad():\n        if x.shape[0] > 3:\n            return x * 2\n        y = x * 3\n"
        "        return y\n";
    const auto input = x.clone().requires_grad_();
    for (const auto length : {4, 2}) {
        const auto result = body(block, input.slice(0, 0, length));
        CHECK(!result.requires_grad());
        CHECK(result.equal(x.slice(0, 0, length) * (length == 4 ? 2 : 3)));
        CHECK(at::GradMode::is_enabled());
    }
    CHECK(refused({{"layers.py",
                    head + "    for i in range(2):\n        with torch.no_grad():\n            break\n"
                           "    return x\n"}}) ==
          "layers.py:9: in `L.forward`: the block of torch.no_grad is left before its end");
}

TEST_CASE("Functions that get self see what is given for it, and what it has not") {
    const std::string helpers = imports +
                                "def scaled(module, x): return x * module.given\n"
                                "def has(module): return module is not None and hasattr(module, 'absent')\n";
    const std::string layer = "class L(nn.Module):\n  def forward(self, x):\n";
    CHECK(
        run({{"layers.py", helpers + layer + "    return scaled(self, x)\n"}}, {x}).toTensor().equal(x * 7));
    CHECK(run({{"layers.py",
                helpers + layer + "    if has(self):\n      return self.absent(x)\n    return x\n"}},
              {x})
              .toTensor()
              .equal(x));
    CHECK(run({{"layers.py",
                helpers + layer + "    if has(self):\n      return x * self.absent\n    return x\n"}},
              {x}, {{"absent", std::int64_t{5}}})
              .toTensor()
              .equal(x * 5));
    const std::string below = helpers + layer + "    return x * self.config.inner.factor\n";
    CHECK(run({{"layers.py", below}}, {x}, {{"config.inner.factor", 3.0}}).toTensor().equal(x * 3));
    CHECK(
        refused({{"layers.py", below}}) ==
        "layers.py:9: in `L.forward`: the kernel's layer needs the attribute config.inner.factor, which this "
        "layer does not have; give it as attributes = { \"config.inner.factor\" = … } in the binding");
}

TEST_CASE("Keywords that a function with ** does not look at") {
    const std::string source = imports +
                               "def f(x, **rest): return x * 2\ndef g(x, **rest): return f(x, **rest)\n" +
                               head.substr(imports.size());
    CHECK(run({{"layers.py", source + "    return f(x, window=None)\n"}}, {x}).toTensor().equal(x * 2));
    CHECK(refused({{"layers.py", source + "    return g(x, window=None)\n"}}) ==
          "layers.py:9: in `L.forward`: the function g has no argument window");
}

TEST_CASE("Attention that transformers chooses by name") {
    const auto source = [](const std::string& more) {
        return Files{
            {"layers.py", head +
                              "    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS\n"
                              "    attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config.attention, "
                              "self.eager)\n"
                              "    out, weights = attend(self, x, x[:, :2], x[:, :2], None, dropout=0.0, " +
                              more + "sliding_window=None)\n    assert weights is None\n    return out\n"}};
    };
    const auto q = torch::rand({2, 4, 3, 8});
    const auto kv = q.slice(1, 0, 2);
    const auto expected = [&](bool causal, std::optional<double> scale) {
        return at::scaled_dot_product_attention(q, kv, kv, {}, 0.0, causal, scale, true).transpose(1, 2);
    };
    const std::int64_t groups = 2;
    std::map<std::string, project::AttributeValue> given = {
        {"config.attention", "sdpa"}, {"num_key_value_groups", groups}, {"is_causal", true}};
    CHECK(run(source("scaling=0.5, "), {q}, given).toTensor().equal(expected(true, 0.5)));
    CHECK(run(source("is_causal=False, "), {q}, given).toTensor().equal(expected(false, std::nullopt)));
    CHECK_THROWS(run(source("softcap=1.0, "), {q}, given));
    const auto refusal = [&](const Files& files) -> std::string {
        try {
            run(files, {q}, given);
        } catch (const Error& error) {
            return error.what();
        }
        return "compiled";
    };
    given.erase("is_causal");
    CHECK(refusal(source("")).find("needs the attribute is_causal") != std::string::npos);
    given["config.attention"] = "flash_attention_2";
    CHECK(refusal(source("")) ==
          "layers.py:8: in `L.forward`: the attention function flash_attention_2 is Python code outside the "
          "kernel, "
          "which TorchScript cannot call; sdpa can be");
    given.erase("config.attention");
    CHECK(refusal(source("")).find("needs the attribute config.attention") != std::string::npos);
}

TEST_CASE("A dtype is true, also uint8, which is 0 in TorchScript") {
    const auto with_helper = [](const std::string& parameter, const std::string& argument) {
        return Files{{"layers.py", imports + "from typing import Optional\ndef f(x, " + parameter +
                                       "): return x.to(d or x.dtype)\n"
                                       "class L(nn.Module):\n  def forward(self, x):\n    return f(x" +
                                       argument + ")\n"}};
    };
    for (const auto* type : {"torch.dtype", "Optional[torch.dtype]", "torch.dtype | None"}) {
        CAPTURE(type);
        const std::string parameter = std::string("d: ") + type;
        CHECK((run(with_helper(parameter, ", torch.uint8"), {x}).toTensor().scalar_type() == at::kByte));
        CHECK((run(with_helper(parameter, ", torch.float64"), {x}).toTensor().scalar_type() == at::kDouble));
        CHECK((run(with_helper(parameter, ", d=x.dtype"), {x}).toTensor().scalar_type() == x.scalar_type()));
    }
    for (const auto* type : {"Optional[torch.dtype]", "torch.dtype | None"}) {
        CAPTURE(type);
        CHECK((run(with_helper(std::string("d: ") + type + " = None", ""), {x}).toTensor().scalar_type() ==
               x.scalar_type()));
    }
    CHECK(refused(with_helper("d", ", torch.uint8")) == "layers.py:7: a dtype is used as a condition");
}

TEST_CASE("round is Python's, of numbers alone") {
    const auto rounded = [](const std::string& number) {
        return body("    y = x.shape[0] * " + number + "\n    return x * round(y)\n", x);
    };
    CHECK(rounded("0.625").equal(x * 2));
    CHECK(rounded("0.875").equal(x * 4));
    CHECK(rounded("0.9").equal(x * 4));
    CHECK(rounded("-0.625").equal(x * -2));
    CHECK(rounded("2").equal(x * 8));
    CHECK(body("    return x.new_zeros([round(x.shape[0] / 3)])\n", x).sizes() == at::IntArrayRef{1});
    CHECK(body("    return torch.round(x)\n", x).equal(x.round()));
    CHECK(refused({{"layers.py", head + "    return round(x)\n"}}) ==
          "layers.py:7: in `L.forward`: round of a Tensor, which Python has not; of a tensor it is "
          "torch.round");
    CHECK(refused({{"layers.py", head + "    return x * round(x.shape[0] / 3, 1)\n"}}) ==
          "layers.py:7: in `L.forward`: round to a number of digits");
}

TEST_CASE("The text of an exception may have a name, and formats") {
    const std::string checked =
        "    message = f'{x.shape[0] / 3:.2f} of {x.dtype!r}'\n    if x.shape[0] > 3:\n"
        "        raise ValueError(message)\n    return x\n";
    CHECK(body(checked, x.slice(0, 0, 2)).equal(x.slice(0, 0, 2)));
    CHECK_THROWS(body(checked, x));
    CHECK(body("    m: str = f'{x.shape[0]:5d}'\n    assert x.shape[0] < 9, m\n    return x\n", x).equal(x));
    // Something else reads it.
    CHECK(refused({{"layers.py", head + "    m = f'{x.shape[0]:5d}'\n    if len(m) > 4:\n"
                                        "        raise ValueError(m)\n    return x\n"}}) ==
          "layers.py:7: in `L.forward`: a format in an f-string, which TorchScript has not");
    CHECK(refused({{"layers.py",
                    head + "    m = f'{x.shape[0]:5d}'\n    m += 'a'\n    raise ValueError(m)\n"}}) ==
          "layers.py:7: in `L.forward`: a format in an f-string, which TorchScript has not");
}

TEST_CASE("What is refused for no line of its own is so at the function's") {
    std::string large = "x";
    for (int i = 0; i < 20; ++i)
        large = "t" + std::to_string(i);
    std::string statements = "    t0 = (x, x)\n";
    for (int i = 1; i < 20; ++i) {
        const std::string before = "t" + std::to_string(i - 1);
        statements += "    t" + std::to_string(i) + " = f(" + before + ")\n";
    }
    const auto why = refused({{"layers.py", imports +
                                                "def f(t): return (t, t)\nclass L(nn.Module):\n"
                                                "  def forward(self, x):\n" +
                                                statements + "    return " + large + "\n"}});
    CHECK(why.starts_with("layers.py:"));
    CHECK(why.find("more than") != std::string::npos);
}

TEST_CASE("Sizes stand in the middle of a chained comparison, and are computed as often as it takes") {
    for (const char* middle :
         {"x.shape[0]", "x.size(-1)", "len(x)", "x.dim() + 3", "-x.numel() + 8", "(x.shape[0] * 2) // 2"}) {
        CAPTURE(std::string(middle));
        const auto in = [&](const char* from, const char* to) {
            return body(std::string("    return x * 2 if ") + from + " < " + middle + " <= " + to +
                            " else x\n",
                        x)
                .equal(x * 2);
        };
        CHECK(in("3", "4"));
        CHECK(!in("4", "5"));
        CHECK(!in("2", "3"));
    }
}

TEST_CASE("@= makes a new tensor") {
    const auto input = torch::randn({3, 3});
    CHECK(body("    y = x\n    for i in range(2):\n        y @= x\n    return y + x\n", input)
              .equal(input.matmul(input).matmul(input) + input));
}

TEST_CASE("Tuples of ranges are given for dimensions") {
    const auto input = torch::randn({3, 2, 4});
    CHECK(body("    return x.sum(tuple(range(1, x.dim())))\n", input).equal(input.sum({1, 2})));
    CHECK(body("    dims = tuple(range(1, x.dim()))\n"
               "    return torch.mean(x, dim=dims, keepdim=True) + x.amax(dims, True)\n",
               input)
              .equal(input.mean({1, 2}, true) + input.amax({1, 2}, true)));
    CHECK(body("    return x.permute(*range(1, x.dim()), 0)\n", input).equal(input.permute({1, 2, 0})));
    // A list would be another index, and no tuple.
    for (const char* other : {"x[dims]", "x if isinstance(dims, tuple) else x * 2", "x.sum(dims) + len(dims)",
                              "self.sum(dims)"}) {
        CAPTURE(std::string(other));
        CHECK_THROWS_AS(body(std::string("    dims = tuple(range(2))\n    return ") + other + "\n", input),
                        Error);
    }
}

TEST_CASE("A method by its class is a function that gets self") {
    const std::string base =
        "class Base(nn.Module):\n  k = 3\n"
        "  def forward(self, x, more=1):\n    return x * self.weight + more\n"
        "  def helper(self, x):\n    return Base.forward(self, x, more=5)\n"
        "  @staticmethod\n  def of(x):\n    return x\n"
        "  def twice(self, x):\n    return x\n"
        "  twice = of\n"
        "class Child(Base):\n  pass\n";
    const auto layer = [&](const std::string& result) {
        return Files{{"layers.py", imports + base +
                                       "class L(nn.Module):\n  def forward(self, x: torch.Tensor):\n"
                                       "    return " +
                                       result + "\n"}};
    };
    CHECK(run(layer("Base.forward(self, x) * 2"), {x}).toTensor().equal((x * 3 + 1) * 2));
    CHECK(run(layer("Base.helper(self, x)"), {x}).toTensor().equal(x * 3 + 5));
    for (const char* other : {"Base.of(x)", "Base.twice(self, x)", "Child.forward(self, x)", "Base(x)",
                              "Base.k * x", "Base.nothing(self, x)"}) {
        CAPTURE(std::string(other));
        CHECK(refused(layer(other)).find("is no autograd function, dataclass or NamedTuple") !=
              std::string::npos);
    }
}
