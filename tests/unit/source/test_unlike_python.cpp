// What TorchScript would read otherwise than Python, or what a file may hold beside the function that is
// compiled.
#include <doctest/doctest.h>

#include "layer_text.hpp"

using namespace kernels;
using kernels::testing::TemporaryFolder;
using namespace kernels::source;

TEST_CASE("Code that is not compiled may hold what TorchScript has not") {
    for (const char* unused :
         {"def unused(n):\n  with (n as a, k as b):\n    pass\n",
          "def unused(n):\n  with (\n    n.a(1, 2) as a,\n    k as (b, c),\n  ):\n    pass\n",
          "def unused(n):\n  with n as m, o as p:\n    pass\n  with (n):\n    pass\n  with (a, b)[0] as c: "
          "pass\n",
          "def unused(n):\n  async def g():\n    async with n as m, o as p:\n      await m\n",
          "MASK = 0xFFFFFFFFFFFFFFFF\n", "M = 18446744073709551615\n",
          "def unused(n):\n  return n & 0xFFFF_FFFF_FFFF_FFFF_FF\n",
          "def unused(n):\n  return f'set {{}} {n}'\n", "C = '\\N{GREEK SMALL LETTER ALPHA}'\n",
          "def unused(größe):\n  return größe.β\n"})
        CHECK(lowered(unused + head + "    return x\n").ends_with("  return x\n"));
}

TEST_CASE(
    "Numbers beyond 64 bits, characters by name and names beyond ASCII are refused where they are used") {
    CHECK(body("    return x & 0xFFFFFFFFFFFFFFFF\n") ==
          "layers.py:3: TorchScript has not: a whole number beyond 64 bits");
    CHECK(body("    return x & 18446744073709551615\n") ==
          "layers.py:3: TorchScript has not: a whole number beyond 64 bits");
    CHECK(body("    return len('\\N{DIGIT ONE}')\n") ==
          "layers.py:3: TorchScript has not: a character by its name (\\N{…})");
    CHECK(body("    return len(r'\\N{DIGIT ONE}' '\\\\N{}')\n").starts_with("  return len("));
    CHECK(body("    β = 2.0\n    return x * β\n") ==
          "layers.py:3: the name `β` is not ASCII, as TorchScript's are");
    CHECK(body("    return x * self.größe\n") ==
          "layers.py:3: the name `größe` is not ASCII, as TorchScript's are");
    CHECK(lowered("class L(nn.Module):\n  def forward(self, é):\n    return é\n") ==
          "layers.py:2: the name `é` is not ASCII, as TorchScript's are");
}

TEST_CASE("Braces in f-strings") {
    CHECK(body("    return f'set {{}} {x}'\n") == "  return \"set {} {}\".format(\"{}\", x)\n");
    CHECK(body("    return f'{{{x}}}'\n") == "  return \"{{}}\".format(x)\n");
    // How a value is written is for people only.
    CHECK(body("    raise E(f'{x:.2f} {x!r} {x=}')\n") == "  raise E(\"{} {} x={}\".format(x, x, x))\n");
    CHECK(body("    return len(f'{x:.2f}')\n") ==
          "layers.py:3: a format in an f-string, which TorchScript has not");
    CHECK(body("    raise E('%.2f' % x)\n") == "  raise E((\"%.2f\" % x))\n");
    CHECK(body("    return len('%d%% %.2f' % x)\n") ==
          "layers.py:3: the format %., which TorchScript writes otherwise");
}

TEST_CASE("Comparisons that are never true in Python") {
    const auto said = [](const std::string& comparison) {
        return body("    s = x.shape\n    n = list(s)\n    if " + comparison +
                    ":\n      return x\n    return y\n");
    };
    const std::string never = ", and in Python they are never equal";
    CHECK(said("x.dtype == 6") == "layers.py:5: a dtype is compared with a number" + never);
    CHECK(said("6 != x.dtype") == "layers.py:5: a dtype is compared with a number" + never);
    CHECK(said("x.dtype == 'float32'") == "layers.py:5: a dtype is compared with a text" + never);
    CHECK(said("x.device == 'cpu'") == "layers.py:5: a device is compared with a text" + never);
    CHECK(said("x.shape == [4]") == "layers.py:5: a shape is compared with a list" + never);
    CHECK(said("[4] == s[:1]") == "layers.py:5: a shape is compared with a list" + never);
    CHECK(said("x.size() == n") == "layers.py:5: a shape is compared with a list" + never);
    CHECK(said("n == (4,)") == "layers.py:5: a list is compared with a tuple" + never);
    for (const char* plain :
         {"x.dtype == torch.float32", "x.device == torch.device('cpu')", "x.shape == (4,)", "x.shape[0] == 4",
          "n == [4]", "x.shape == y.shape", "self.dtype_name == 'a'"})
        CHECK(said(plain).find("never equal") == std::string::npos);
    CHECK(said("tuple(x.shape) == (4,)").find("if (x.shape == ((4,))):") != std::string::npos);
    CHECK(said("isinstance(x, int)").find("isinstance(x, (int, bool,))") != std::string::npos);
}

TEST_CASE("Loops over tuples stay small, and a list that a loop goes through stays as long") {
    const auto nested = [](int depth) {
        std::string text;
        for (int i = 0; i < depth; ++i)
            text += std::string(static_cast<std::size_t>(i) * 2 + 4, ' ') + "for i" + std::to_string(i) +
                    " in enumerate(T):\n";
        return "T = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)\n" + head + text +
               std::string(static_cast<std::size_t>(depth) * 2 + 4, ' ') + "x = x + 1\n    return x\n";
    };
    CHECK(lowered(nested(3)).ends_with("return x\n"));
    CHECK(lowered(nested(5)).find("loops over tuples, which TorchScript writes out, come to more than 5000 "
                                  "statements") != std::string::npos);
    CHECK(body("    n = [1]\n    for i in n:\n      n.append(i)\n    return x\n") ==
          "layers.py:5: the list `n` changes while a loop goes through it");
    CHECK(body("    n = []\n    for i in x:\n      n.append(i)\n    return n\n").ends_with("return n\n"));
}

TEST_CASE("Values that are computed before a name changes") {
    const auto said = [](const std::string& text) {
        try {
            const auto layer = layer_of(text);
            return lower(layer.forward, "f", {{"x"}, {"n", "", false}}).text;
        } catch (const Error& error) {
            return std::string(error.what());
        }
    };
    const std::string layer = "class L(nn.Module):\n  def forward(self, x, n=K):\n    return x * n\n";
    CHECK(said("K = 2\n" + layer + "K = 5\n") ==
          "layers.py:3: `K` gets another value at line 5, so what it was here cannot be told");
    CHECK(said("K = 2\n" + layer).find("n = K") != std::string::npos);
}

TEST_CASE("What an import that may fail decides cannot be told") {
    const auto kind = [](const std::string& text, const std::string& name) {
        const TemporaryFolder folder;
        write_file(folder / "a.py", "K = 2\nJ = 3\n");
        write_file(folder / "layers.py", text);
        const Package package(folder.path());
        const auto symbol = package.lookup(*package.module("layers"), name);
        return symbol.kind == Symbol::Kind::undecided ? symbol.path : "told";
    };
    const std::string handlers = "except ImportError:\n  HAS = False\n";
    CHECK(kind("try:\n  import absent\n  HAS = True\n" + handlers, "HAS") ==
          "it depends on whether the import at line 2 finds its module");
    CHECK(kind("try:\n  from absent.b import c\nexcept ImportError:\n  HAS = False\nelse:\n  HAS = True\n",
               "HAS") == "it depends on whether the import at line 2 finds its module");
    CHECK(kind("try:\n  import torch\n  from .a import K\n  HAS = True\n" + handlers, "HAS") == "told");
    CHECK(kind("try:\n  import triton\nexcept ImportError:\n  triton = None\n", "triton") == "told");
}

TEST_CASE("A value that another file changes cannot be told") {
    const TemporaryFolder folder;
    write_file(folder / "a.py", "K = 2\nJ = 3\n");
    write_file(folder / "layers.py", "from . import a\na.K = 5\n");
    const Package package(folder.path());
    const auto& layers = *package.module("layers");
    const auto a = package.lookup(layers, "a");
    CHECK(package.attribute(a, "K").path == "it is set at layers.py:2");
    CHECK(package.attribute(a, "J").kind == Symbol::Kind::value);
    // In circles too.
    std::string circles = "from . import b, c\n";
    for (int i = 0; i < 300; ++i)
        circles += "b.b = 1\nc.b.b = 2\nb.c.b.c = 3\n";
    write_file(folder / "b.py", circles);
    write_file(folder / "c.py", circles);
    const auto b = package.lookup(*package.module("c"), "b");
    CHECK(package.attribute(b, "b").kind == Symbol::Kind::undecided);
}

TEST_CASE("Loops without an end, and divisions in place") {
    CHECK(body("    while True:\n      if x:\n        return x\n")
              .ends_with("  raise AssertionError(\"the end of an endless loop\")\n"));
    CHECK(body("    while True:\n      if x:\n        break\n    return x\n").find("endless") ==
          std::string::npos);
    CHECK(body("    n = 3\n    n //= 2\n    n %= x\n    return n\n") ==
          "  n = 3\n  n = hub_floordiv_(n, 2)\n  n = hub_remainder_(n, x)\n  return n\n");
    // TorchScript's own statement changes nothing for most of these.
    CHECK(body("    x[0] //= 2\n    return x\n") == "  x[0] = hub_floordiv_(x[0], 2)\n  return x\n");
    CHECK(body("    x[0] |= 2\n    return x\n") == "  x[0] = hub_bitor_(x[0], 2)\n  return x\n");
    CHECK(body("    x >>= 2\n    return x\n") == "  x = hub_rshift_(x, 2)\n  return x\n");
    CHECK(body("    x[0] += 2\n    return x\n") == "  x[0] += 2\n  return x\n");
    CHECK(body("    x[x.argmax()] |= 2\n    return x\n") == "layers.py:3: |= of a place that a call gives");
    CHECK(body("    x @= x.a\n    return x\n") == "  x = (x @ x.a)\n  return x\n");
    CHECK(body("    x[x.argmax()] @= 2\n    return x\n") == "layers.py:3: @= of a place that a call gives");
    CHECK(body("    self.a @= x\n    return x\n") ==
          "layers.py:3: it changes self.a, and a kernel's layer has no state");
}
