// What a forward becomes for TorchScript.
#include <doctest/doctest.h>

#include "layer_text.hpp"

using namespace kernels;
using kernels::testing::TemporaryFolder;
using namespace kernels::source;

TEST_CASE("Statements stand on the lines on which they stand in the file") {
    CHECK(
        lowered(
            "import torch\n\n\nclass L(torch.nn.Module):\n    def forward(self, x):\n        \"\"\"A\n       "
            " B\"\"\"\n\n"
            "        y = torch.add(\n            x,\n            1,\n        )\n        return y; pass\n") ==
        "def f(self, x):\n\n\n\n  y = torch.add(x, 1)\n\n\n\n  return y\n");
}

TEST_CASE("What TorchScript reads otherwise than Python is spelled out") {
    CHECK(body("    return not input_x\n") == "  return (not (hub_truth(input_x)))\n");
    CHECK(body("    return x not in y\n") == "  return (not ((x in (y))))\n");
    CHECK(body("    return 1 < x <= 3\n") == "  return (hub_bool((1 < (x))) and hub_bool((x <= (3))))\n");
    CHECK(body("    if 1 < x <= 3 or x:\n      return x\n") ==
          "  if (((1 < (x)) and (x <= (3))) or hub_truth(x)):\n    return x\n");
    CHECK(body("    return -x ** 2\n") == "  return (-hub_pow(x, 2))\n");
    CHECK(body("    return 0x1F + 1_000 + 2 ** -1\n") == "  return ((31 + 1000) + hub_pow(2, -1))\n");
    CHECK(body("    return f'{x.shape}: {x} {{' 'it'\n") == "  return \"{}: {} {it\".format(x.shape, x)\n");
    CHECK(body("    return x.view(*x.shape[:-1], 2)\n") ==
          "  return x.view(hub_join(x.shape[:(-1)], (2,)))\n");
    CHECK(body("    a, *b = x\n    return b\n") ==
          "  hub_value_0 = x\n  a = hub_value_0[0]\n  b = hub_value_0[1:]\n  return b\n");
    CHECK(body("    a = b = x\n    return a\n") ==
          "  hub_value_0 = x\n  a = hub_value_0\n  b = hub_value_0\n  return a\n");
    CHECK(body("    return x[..., None, :2, ::3]\n") == "  return x[..., None, :2, ::3]\n");
    CHECK(body("    raise E(r'\\d' \"\\u00e9\\\"\")\n") == "  raise E(\"\\\\d\u00e9\\\"\")\n");
    // A name of the module hides a builtin's.
    CHECK(lowered("def max(x): return x\n" + head + "    return max(x)\n").find("hub_global_max(x)") !=
          std::string::npos);
    // A local variable hides the module's.
    CHECK(lowered("def max(x): return x\n" + head + "    max = x\n    return max\n").find("hub_global") ==
          std::string::npos);
}

TEST_CASE("`or` and `and` as values") {
    CHECK(body("    return self.a or 1e-6\n") == "  return hub_or(self.a, 1e-6)\n");
    CHECK(body("    return x and x.size()\n") ==
          "  return (x.size() if (x is not (None) and hub_truth(x)) else x)\n");
    CHECK(body("    return x or 0 or self.a\n") ==
          "  return (x if (x is not (None) and hub_truth(x)) else self.a)\n");
    CHECK(body("    return self.a or x.size()\n") ==
          "  return (hub_some(self.a) if hub_truth(self.a) else x.size())\n");
    CHECK(body("    return x is not None and y.a\n") == "  return ((x is not (None)) and hub_bool(y.a))\n");
    CHECK(body("    return x is not None and x.a\n") ==
          "  return ((x is not (None)) and (hub_bool(x.a) if (x is not (None)) else False))\n");
    CHECK(lowered("class L(nn.Module):\n  def forward(self, x) -> bool:\n    return x.a and x.b\n") ==
          "def f(self, x):\n  return (hub_truth(x.a) and hub_truth(x.b))\n");
}

TEST_CASE("What stands behind a test for None is compiled only where the test lets it be reached") {
    const auto condition = [](const std::string& text) {
        const std::string printed = body("    return 1 if " + text + " else 2\n");
        const std::string start = "  return (1 if ";
        const std::string end = " else 2)\n";
        return printed.starts_with(start)
                   ? printed.substr(start.size(), printed.size() - start.size() - end.size())
                   : printed;
    };
    CHECK(condition("x is not None and x.dim() == 2") ==
          "((x is not (None)) and ((True if (x.dim() == (2)) else False) if (x is not (None)) else False))");
    CHECK(condition("self.b is None or self.b.c") ==
          "((self.b is (None)) or ((True if hub_truth(self.b.c) else False) if (self.b is not (None)) else "
          "False))");
    // In a chain every side behind, and whatever the negation.
    CHECK(
        condition("not (x is None or y) and z and x > z") ==
        "(((not (((x is (None)) or hub_truth(y)))) and hub_truth(z)) and (((True if (x > (z)) else False) if "
        "(z is not (None)) else False) if (x is not (None)) else False))");
    // Of a variable libtorch remembers what such a test says.
    CHECK(condition("x is not None and y is not None") == "((x is not (None)) and (y is not (None)))");
    CHECK(condition("x is None and x is not None") == "((x is (None)) and (x is not (None)))");
    CHECK(condition("self.b is not None and self.b.c is not None") ==
          "((self.b is not (None)) and ((True if (self.b.c is not (None)) else False) if (self.b is not "
          "(None)) else False))");
    // What reads something else stays as it is, and so does what a test that did not hold says nothing of.
    CHECK(condition("x is not None and y > 2") == "((x is not (None)) and (y > (2)))");
    CHECK(condition("(x is None or y) and x > 2") == "(((x is (None)) or hub_truth(y)) and (x > (2)))");
    // What is decided here is not lowered at all.
    CHECK(condition("x or (True or x.a)") == "(hub_truth(x) or True)");
    CHECK(condition("x and (True and y)") == "(hub_truth(x) and hub_truth(y))");
    CHECK(condition("x or (False and x.a)") == "hub_truth(x)");
}

TEST_CASE("Branches for torch.compile and TorchScript are dead") {
    const std::string source = "import torch\nfrom typing import TYPE_CHECKING\nFAST = False\n" + head;
    CHECK(
        lowered(source + "    if torch.compiler.is_compiling() or FAST:\n      return x.a\n    return x\n") ==
        "def f(self, x):\n\n\n  return x\n");
    CHECK(lowered(source + "    return 1 if not torch.jit.is_scripting() else x.a\n") ==
          "def f(self, x):\n  return 1\n");
}

TEST_CASE("Type annotations as TorchScript spells them") {
    const auto type = [](const std::string& annotation) {
        const auto layer = layer_of(
            "import torch\nimport typing as t\nfrom torch import nn, Tensor\nfrom typing import *\n"
            "class L(nn.Module):\n  def forward(self, x: " +
            annotation + "): pass\n");
        const auto& forward = layer.forward;
        return type_name(*forward.package, *forward.module, *forward.definition->parameters[1].annotation);
    };
    CHECK(type("torch.Tensor") == "Tensor");
    CHECK(type("'Tensor'") == "Tensor");
    CHECK(type("Tensor | None") == "Optional[Tensor]");
    CHECK(type("None | int") == "Optional[int]");
    CHECK(type("t.Optional[Tensor]") == "Optional[Tensor]");
    CHECK(type("Union[float, None]") == "Optional[float]");
    CHECK(type("tuple[torch.Tensor, int]") == "Tuple[Tensor, int]");
    CHECK(type("list[dict[str, nn.Parameter]]") == "List[Dict[str, Tensor]]");
    CHECK(type("torch.dtype") == "int");
    CHECK(type("torch.Size") == "List[int]");
    for (const auto* none :
         {"Tuple", "List[Tuple]", "int | float", "tuple[int, ...]", "Callable", "Any", "lambda: 1"})
        CHECK(type(none).empty());
}

TEST_CASE("del stays where the name is read again") {
    CHECK(body("    y = x\n    del y\n    return x\n") == "  y = x\n\n  return x\n");
    CHECK(body("    y = x\n    del y, x\n    return y\n") == "  y = x\n  del y\n  return y\n");
    CHECK(body("    y = x\n    del y; return y\n").find("del y") != std::string::npos);
}

TEST_CASE("What TorchScript has not is named with its line") {
    CHECK(body("    return lambda: x\n") == "layers.py:3: TorchScript has not: a lambda");
    CHECK(body("    y = 1\n    return (y := x)\n") ==
          "layers.py:4: TorchScript has not: an assignment within an expression");
    CHECK(body("    def g(): pass\n    return x\n") ==
          "layers.py:3: TorchScript has not: a function within a function");
    CHECK(body("    try:\n      y = x\n    except: pass\n    return y\n") ==
          "layers.py:3: TorchScript has not: try");
    CHECK(body("    return tuple(y for y in x)\n") == "layers.py:3: TorchScript has not: a generator");
    CHECK(body("    return sum(y for y in x)\n") == "  return sum([y for y in x])\n");
    CHECK(body("    return [y + 1 for y in (x, 2)]\n") == "  return [(x + 1), (2 + 1)]\n");
    CHECK(body("    return [y for z in x for y in z if y]\n") ==
          "layers.py:3: TorchScript has not: a list comprehension with several loops");
    CHECK(body("    return tuple(y for y in x if y)\n") == "layers.py:3: TorchScript has not: a generator");
    CHECK(body("    return {1, 2}\n") == "layers.py:3: TorchScript has not: a set");
    CHECK(body("    global y\n    return x\n") == "layers.py:3: TorchScript has not: global");
    CHECK(body("    match x:\n      case 1: pass\n    return x\n") ==
          "layers.py:3: TorchScript has not: match");
    CHECK(body("    with open(x):\n      pass\n    return x\n") ==
          "layers.py:3: TorchScript has not: with open");
    CHECK(body("    self.cache = x\n    return x\n") ==
          "layers.py:3: it changes self.cache, and a kernel's layer has no state");
    CHECK(body("    del x.cache\n    return x\n") == "layers.py:3: del of what is no name");
    CHECK(body("    while x:\n      x = x.a\n    else:\n      pass\n    return x\n") ==
          "layers.py:3: while … else");
    CHECK(body("    return x.f(**x.g)\n") == "layers.py:3: ** of a dictionary");
    for (const char* middle : {"f(x)", "self.size()", "x.sum()", "(x if x else y)", "len(f(x))", "x[f(x)]"})
        CHECK(body("    return 1 < " + std::string(middle) + " < 3\n") ==
              "layers.py:3: TorchScript has not: a chained comparison with a call in its middle that is no "
              "size");
    CHECK(lowered("class L(nn.Module):\n  @cached\n  def forward(self, x):\n    return x\n") ==
          "layers.py:2: the decorator @cached of `forward` may change what it does");
}

TEST_CASE("A list comprehension with conditions is a list of lists of one element or none") {
    CHECK(body("    return [y + 1 for y in x if y > 0 if y < 9]\n") ==
          "  return hub_flat([([(y + 1)] if (((y > (0)) and (y < (9)))) else [(y + 1) for y in x[0:0]]) for "
          "y in "
          "x])\n");
    CHECK(body("    return [i for i in range(x.dim()) if i != 1]\n") ==
          "  return hub_flat([([i] if ((i != (1))) else [i for i in range(0)]) for i in range(x.dim())])\n");
    // What is iterated over is computed once, in Python's order.
    CHECK(body("    return [a for a, b in zip(x.f(), x.g()) if b]\n") ==
          "  return [[hub_flat([([a] if (hub_truth(b)) else [a for (a, b) in zip(hub_list_5_0[0:0], "
          "hub_list_5_1[0:0])]) for (a, b) in zip(hub_list_5_0, hub_list_5_1)]) for hub_list_5_1 in "
          "[x.g()]][0] for hub_list_5_0 in [x.f()]][0]\n");
    CHECK(body("    return [y for y in x if y is not None]\n") ==
          "  return hub_flat([([y] if ((y is not (None))) else []) for y in x])\n");
    CHECK(body("    z = 1\n    return [[b for b in a] for a in x if a]\n") ==
          "layers.py:4: a list comprehension within one that has a condition");
    CHECK(body("    return [x.append(y) for y in x if y]\n") ==
          "layers.py:3: a list comprehension with a condition that changes lists");
    CHECK(body("    return [y for i, y in enumerate(x, 1) if y]\n") ==
          "layers.py:3: a list comprehension with a condition over such a call of enumerate");
}
