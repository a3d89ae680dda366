#include <algorithm>

#include <doctest/doctest.h>

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "source/hub_module.hpp"
#include "source/lower.hpp"
#include "temporary_folder.hpp"

using namespace kernels;
using kernels::testing::TemporaryFolder;
using namespace kernels::source;

namespace {

LayerSource layer_of(const std::string& text, const std::string& name = "L") {
    const TemporaryFolder folder;
    write_file(folder / "layers.py", text);
    return HubModule::load(folder.path(), false).layer(name);
}

// What the forward of L becomes; the message when it is refused.
std::string lowered(const std::string& text) {
    try {
        const auto layer = layer_of(text);
        std::vector<ParameterPlan> plans;
        for (const auto& parameter : layer.forward.definition->parameters) {
            if (&parameter != layer.forward.definition->parameters.data() && parameter.stars == 0)
                plans.push_back({parameter.name});
        }
        return lower(layer.forward, "f", plans).text;
    } catch (const Error& error) {
        return error.what();
    }
}

std::string repeated(const std::string& text, std::size_t times) {
    std::string all;
    for (std::size_t i = 0; i < times; ++i)
        all += text;
    return all;
}

const std::string head = "class L(nn.Module):\n  def forward(self, x):\n";

// The body of L.forward(self, x), which stands on line 3 and later.
std::string body(const std::string& statements) {
    const std::string text = lowered(head + statements);
    const std::string start = "def f(self, x):\n";
    return text.starts_with(start) ? text.substr(start.size()) : text;
}

}  // namespace

TEST_CASE("A layer's flags and rules") {
    const auto layer = layer_of(R"(
class L(torch.nn.Module):
    """A layer."""
    weight: torch.Tensor
    can_torch_compile: bool = True
    has_backward = False

    def forward(self, x):
        return x * self.weight + getattr(self, "bias", 0)
)");
    CHECK(layer.violations.empty());
    CHECK(layer.can_torch_compile);
    CHECK(!layer.has_backward);
    CHECK(!layer.python_backward);
    CHECK(layer.forward.line() == 8);
    CHECK(layer.attributes == std::set<std::string>{"weight"});
}

TEST_CASE("Each broken rule for hub layers is named") {
    const std::string forward = "    def forward(self, x):\n        return x\n";
    const std::string start = "class L(nn.Module):\n";
    const auto rule = [](const std::string& text) { return layer_of(text).violations; };
    CHECK(rule(start + "    def __init__(self):\n        pass\n" + forward) ==
          std::vector<std::string>{"has a constructor"});
    CHECK(rule(start + "    size = 3\n" + forward) ==
          std::vector<std::string>{"has the further member size"});
    CHECK(rule(start + "    def other(self): pass\n" + forward) ==
          std::vector<std::string>{"has the further method other"});
    CHECK(rule("class L(object):\n" + forward) == std::vector<std::string>{"is no torch.nn.Module"});
    CHECK(rule(start + "    pass\n") == std::vector<std::string>{"has no forward of its own"});
    CHECK(rule("class B(nn.Module): pass\nclass L(B):\n" + forward).empty());
}

TEST_CASE("A layer is judged as Python finishes its class") {
    const std::string forward = "    def forward(self, x):\n        return x\n";
    const std::string start = "class L(nn.Module):\n";
    using Rules = std::vector<std::string>;
    const auto rules = [](const std::string& text) { return layer_of(text).violations; };

    SUBCASE("base classes of the package count, through imports and names for them") {
        const TemporaryFolder folder;
        write_file(folder / "base.py",
                   "from torch import nn\nclass B(nn.Module):\n    has_backward = False\n" + forward +
                       "class C(B):\n    size = 3\n    def __init__(self): pass\n");
        write_file(folder / "layers.py",
                   "from .base import B, C as D\nfrom . import base\nclass L(B):\n    pass\n"
                   "class M(D):\n    pass\nclass N(base.B):\n    can_torch_compile = True\n"
                   "Alias = B\nclass O(Alias):\n    has_backward = True\n");
        const auto module = HubModule::load(folder.path(), false);
        const auto inherited = module.layer("L");
        CHECK(inherited.violations.empty());
        CHECK(!inherited.has_backward);
        CHECK(inherited.forward.file() == "base.py");
        CHECK(inherited.forward.line() == 4);
        CHECK(module.layer("M").violations == Rules{"has the further member size (of its base class C)",
                                                    "has a constructor (of its base class C)"});
        CHECK(module.layer("N").violations.empty());
        CHECK(module.layer("N").can_torch_compile);
        CHECK(module.layer("O").violations.empty());
        CHECK(module.layer("O").has_backward);
    }
    SUBCASE("the order of base classes is Python's") {
        const std::string mixin = "class M:\n" + forward;
        CHECK(rules(mixin + "class L(M, nn.Module): pass\n").empty());
        // torch.nn.Module has a forward, which only raises.
        CHECK(rules(mixin + "class L(nn.Module, M): pass\n") == Rules{"has no forward of its own"});
        CHECK(layer_of("class A(nn.Module):\n    can_torch_compile = False\n" + forward +
                       "class B(A): pass\nclass C(A):\n    can_torch_compile = True\nclass L(B, C): pass\n")
                  .can_torch_compile);
    }
    SUBCASE("base classes outside the package, decorators and hooks cannot be told") {
        CHECK(rules("from abc import ABC\nclass L(nn.Module, ABC):\n" + forward) ==
              Rules{"has the base class ABC, whose members cannot be told"});
        CHECK(rules("if a:\n    B = nn.Module\nclass L(B):\n" + forward) ==
              Rules{"has the base class B, which cannot be told: it depends on a condition at line 1"});
        CHECK(rules("@wrap(1)\n" + start + forward) == Rules{"has the decorator @wrap"});
        CHECK(rules("class B(nn.Module):\n    def __init_subclass__(cls): cls.size = 1\nclass L(B):\n" +
                    forward) == Rules{"has the base class B, which changes its subclasses"});
    }
    SUBCASE("a tower of base classes and constants takes no time") {
        std::string tower = "class A0(nn.Module): pass\nclass B0(nn.Module): pass\nV0 = unknown()\n";
        for (int i = 1; i < 40; ++i) {
            const std::string n = std::to_string(i);
            const std::string bases =
                "(A" + std::to_string(i - 1) + ", B" + std::to_string(i - 1) + "): pass\n";
            const std::string below = "V" + std::to_string(i - 1);
            tower += "class A" + n + bases + "class B" + n + bases + "V" + n + " = " + below + " or " +
                     below + "\n";
        }
        const auto broken = rules(tower + "class L(A39, B39):\n    has_backward = V39\n" + forward);
        CHECK(std::find(broken.begin(), broken.end(), "has too many base classes") != broken.end());
    }
    SUBCASE("what torch.nn.Module has too is no further member") {
        CHECK(rules(start +
                    "    def extra_repr(self): return ''\n    def __call__(self, x): return x\n"
                    "    dump_patches = True\n    __doc__ = 'text'\n    training: bool\n" +
                    forward)
                  .empty());
        CHECK(rules(start + "    __init__ = nn.Module.__init__\n" + forward).empty());
        CHECK(rules(start + "    training = True\n" + forward) == Rules{"has the further member training"});
    }
    SUBCASE("every statement that binds a name") {
        for (const auto* text :
             {"    try:\n        a = 1\n    except: pass\n", "    if x:\n        a = 1\n", "    import a\n",
              "    from b import c as a\n", "    with x:\n        a = 1\n", "    for a in x: pass\n",
              "    while x: a = 1\n", "    [a] = [1]\n", "    class a: pass\n", "    a = 1\n    a += 1\n",
              "    if x: pass\n    else:\n        a = 1\n", "    try: pass\n    except: a = 1\n"})
            CHECK(rules(start + text + forward) == Rules{"has the further member a"});
        CHECK(rules(start + "    a, (*b, c) = 1, x\n" + forward) ==
              Rules{"has the further member a", "has the further member b", "has the further member c"});
        for (const auto* text : {"    with x as a: pass\n", "    print(a := 1)\n", "    exec('a = 1')\n",
                                 "    async def a(): pass\n", "    locals()['a'] = 1\n"})
            CHECK(rules(start + text + forward).front() == "has a statement of its own at line 2");
        CHECK(rules(start + "    a = 1\n    del a\n    print('x')\n    if False:\n        b = 1\n" + forward)
                  .empty());
    }
    SUBCASE("what the module does to the class afterwards") {
        CHECK(layer_of(start + forward + "L.can_torch_compile = L.has_backward = True\n").can_torch_compile);
        CHECK(rules(start + forward + "L.size = 3\n") == Rules{"has the further member size"});
        CHECK(rules(start + forward + "if x:\n    L.size = 3\n") == Rules{"has the further member size"});
        CHECK(rules(start + forward + "setattr(L, 'size', 3)\n") == Rules{"has the further member size"});
        CHECK(rules("class B(nn.Module):\n" + forward + "class L(B): pass\nB.size = 3\n") ==
              Rules{"has the further member size (of its base class B)"});
        CHECK(rules("class O: pass\n" + start + forward + "O.size = 3\ndef later(): L.size = 3\n").empty());
        CHECK(rules(start + "    has_backward = 1\n" + forward + "L.has_backward -= 1\n") ==
              Rules{"has a has_backward that cannot be told: it is changed at line 5"});
        const auto replaced =
            layer_of("def f(self, y):\n    return y\n" + start + forward + "L.forward = f\n");
        CHECK(replaced.violations.empty());
        CHECK(replaced.forward.line() == 1);
        CHECK(rules(start + forward + "L.forward = wrap(L.forward)\n") ==
              Rules{"has a forward that cannot be told"});
        CHECK(rules(start + "    if x:\n    " + "    def forward(self, x): return x\n") ==
              Rules{"has a forward that cannot be told: it depends on a condition at line 2"});
    }
    SUBCASE("flags through constants") {
        const auto flag = [&](const std::string& top, const std::string& value) {
            const auto layer = layer_of(top + start + "    can_torch_compile = " + value + "\n" + forward);
            return layer.violations.empty() ? layer.can_torch_compile ? "yes" : "no"
                                            : layer.violations.front();
        };
        CHECK(flag("", "True") == "yes");
        CHECK(flag("", "not True") == "no");
        CHECK(flag("", "None") == "no");
        CHECK(flag("", "1") == "yes");
        CHECK(flag("A = True\nB = A\n", "B") == "yes");
        CHECK(flag("A = False\n", "A or False") == "no");
        CHECK(flag("A = unknown()\n", "A and False") == "no");
        const std::string start_of_doubt = "has a can_torch_compile that cannot be told: ";
        CHECK(flag("", "g()") == start_of_doubt + "its value at line 2 is no constant");
        CHECK(flag("import o\n", "o.FLAG") ==
              start_of_doubt + "o.FLAG at line 3 is no constant of the package");
        CHECK(flag("if x:\n    A = True\n", "A") ==
              start_of_doubt + "A: it depends on a condition at line 1");
    }
}

TEST_CASE("The flags of a function layer") {
    const TemporaryFolder folder;
    write_file(folder / "__init__.py",
               "NO = False\ndef f(x): return x\ndef g(x): return x\nf.has_backward = NO\n"
               "f.can_torch_compile = True\ng.has_backward = torch.x()\n");
    const auto module = HubModule::load(folder.path(), true);
    const auto layer = module.function_layer("f");
    CHECK(layer.violations.empty());
    CHECK(!layer.has_backward);
    CHECK(layer.can_torch_compile);
    CHECK(module.function_layer("g").violations ==
          std::vector<std::string>{
              "has a has_backward that cannot be told: its value at line 6 is no constant"});
}

TEST_CASE("Statements stand on the lines on which they stand in the file") {
    CHECK(
        lowered(
            "import torch\n\n\nclass L(torch.nn.Module):\n    def forward(self, x):\n        \"\"\"A\n       "
            " B\"\"\"\n\n"
            "        y = torch.add(\n            x,\n            1,\n        )\n        return y; pass\n") ==
        "def f(self, x):\n\n\n\n  y = torch.add(x, 1)\n\n\n\n  return y\n");
}

TEST_CASE("What TorchScript reads otherwise than Python is spelled out") {
    CHECK(body("    return not input_x\n") == "  return (not (input_x))\n");
    CHECK(body("    return x not in y\n") == "  return (not ((x in (y))))\n");
    CHECK(body("    return 1 < x <= 3\n") == "  return ((1 < (x)) and (x <= (3)))\n");
    CHECK(body("    return -x ** 2\n") == "  return (-(x ** 2))\n");
    CHECK(body("    return 0x1F + 1_000 + 2 ** -1\n") == "  return ((31 + 1000) + (2 ** (-1)))\n");
    CHECK(body("    return f'{x.shape!r}: {x:>3} {{' 'it'\n") ==
          "  return \"{}: {} {it\".format(x.shape, x)\n");
    CHECK(body("    return x.view(*x.shape[:-1], 2)\n") ==
          "  return x.view(hub_join(x.shape[:(-1)], (2,)))\n");
    CHECK(body("    a, *b = x\n    return b\n") ==
          "  hub_value_0 = x\n  a = hub_value_0[0]\n  b = hub_value_0[1:]\n  return b\n");
    CHECK(body("    a = b = x\n    return a\n") ==
          "  hub_value_0 = x\n  a = hub_value_0\n  b = hub_value_0\n  return a\n");
    CHECK(body("    return x[..., None, :2, ::3]\n") == "  return x[..., None, :2, ::3]\n");
    CHECK(body("    return r'\\d' \"\\u00e9\\\"\"\n") == "  return \"\\\\d\u00e9\\\"\"\n");
    // A name of the module hides a builtin's.
    CHECK(lowered("def max(x): return x\n" + head + "    return max(x)\n").find("hub_global_max(x)") !=
          std::string::npos);
    // A local variable hides the module's.
    CHECK(lowered("def max(x): return x\n" + head + "    max = x\n    return max\n").find("hub_global") ==
          std::string::npos);
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

TEST_CASE("What TorchScript has not is named with its line") {
    CHECK(body("    return lambda: x\n") == "layers.py:3: TorchScript has not: a lambda");
    CHECK(body("    y = 1\n    return (y := x)\n") ==
          "layers.py:4: TorchScript has not: an assignment within an expression");
    CHECK(body("    def g(): pass\n    return x\n") ==
          "layers.py:3: TorchScript has not: a function within a function");
    CHECK(body("    try:\n      y = x\n    except: pass\n    return y\n") ==
          "layers.py:3: TorchScript has not: try");
    CHECK(body("    return sum(y for y in x)\n") == "layers.py:3: TorchScript has not: a generator");
    CHECK(body("    return [y for y in x if y]\n") ==
          "layers.py:3: TorchScript has not: a list comprehension with a condition or several loops");
    CHECK(body("    return {1, 2}\n") == "layers.py:3: TorchScript has not: a set");
    CHECK(body("    global y\n    return x\n") == "layers.py:3: TorchScript has not: global");
    CHECK(body("    match x:\n      case 1: pass\n    return x\n") ==
          "layers.py:3: TorchScript has not: match");
    CHECK(body("    with open(x):\n      pass\n    return x\n") ==
          "layers.py:3: TorchScript has not: with open");
    CHECK(body("    self.cache = x\n    return x\n") ==
          "layers.py:3: it changes self.cache, and a kernel's layer has no state");
    CHECK(body("    while x:\n      x = x.a\n    else:\n      pass\n    return x\n") ==
          "layers.py:3: while … else");
    CHECK(body("    return x.f(**x.g)\n") == "layers.py:3: ** of a dictionary");
    CHECK(body("    return 1 < x.size() < 3\n") ==
          "layers.py:3: TorchScript has not: a chained comparison with more than a name in its middle");
    CHECK(lowered("class L(nn.Module):\n  @cached\n  def forward(self, x):\n    return x\n") ==
          "layers.py:2: the decorator @cached of `forward` may change what it does");
}

TEST_CASE("What is no Python is named with its line") {
    CHECK(body("    return (x\n") == "layers.py:3: the bracket ( is never closed");
    CHECK(body("    return x]\n") == "layers.py:3: the bracket ] closes none");
    CHECK(body("    return 'x\n") == "layers.py:3: the string is never closed");
    CHECK(body("    return x $ 1\n") == "layers.py:3: the character $ is no Python");
    CHECK(body("      y = 1\n    return x\n") == "layers.py:4: the indentation fits no block");
    CHECK(body("    return x x\n") == "layers.py:3: unexpected `x`");
    CHECK(body("    if x:\n    return x\n") == "layers.py:4: an indented block is missing");
    CHECK(body("    return 99999999999999999999\n") ==
          "layers.py:3: `99999999999999999999` is no number that TorchScript has");
    CHECK(body(std::string("    return x\0\n", 14)) == "layers.py:3: a NUL byte");
    CHECK(body("    return '\xff'\n") == "layers.py:3: the file is not UTF-8");
}

TEST_CASE("Source that would exhaust a stack is refused") {
    CHECK(body("    return " + repeated("(", 10000) + "x\n") ==
          "layers.py:3: more than 100 brackets are open");
    CHECK(body("    return " + repeated("- ", 100000) + "x\n") ==
          "layers.py:3: the expression is nested too deeply");
    CHECK(body("    return " + repeated("x + ", 100000) + "x\n") ==
          "layers.py:3: the expression is nested too deeply");
    CHECK(body("    return self" + repeated(".self", 100000) + "\n") ==
          "layers.py:3: the expression is nested too deeply");
    CHECK(body(repeated("    y = x\n", 20000) + "    return x\n").find("too large") != std::string::npos);
    std::string nested;
    for (std::size_t i = 0; i < 60; ++i)
        nested += std::string(4 + i, ' ') + "if x:\n";
    CHECK(body(nested + std::string(64, ' ') + "y = 1\n").find("too deeply") != std::string::npos);
    CHECK(body("    if x: y = 1\n" + repeated("    elif x: y = 1\n", 1000)).find("too deeply") !=
          std::string::npos);
    const std::string quotes = "f'''{f\"{f'{x}'}\"}'''";
    CHECK(body("    return " + quotes + "\n") == "  return \"{}\".format(\"{}\".format(\"{}\".format(x)))\n");
    CHECK(body(repeated("# a comment\n", 500000) + "    return x\n") ==
          "layers.py:1: the file is larger than 4 MiB");
}

TEST_CASE("Names are followed through the modules of the package") {
    const TemporaryFolder folder;
    write_file(folder / "__init__.py",
               "from . import layers, helpers\nfrom .helpers import double as twice, _hidden\n"
               "from ._ops import ops\n__all__ = ['twice', 'layers']\n");
    write_file(folder / "helpers.py",
               "from . import _ops\ndef double(x): return _ops.ops.double(x)\ndef _hidden(x): return x\n");
    write_file(folder / "layers.py",
               "from .helpers import double\nfrom . import twice, helpers\nfrom .loop import a\nimport "
               "torch.nn as nn\n"
               "class L(nn.Module):\n  def forward(self, x): return x\n");
    write_file(folder / "loop.py", "from .loop2 import a\n");
    write_file(folder / "loop2.py", "from .loop import a\n");
    const auto package = HubModule::load(folder.path(), true);
    CHECK(package.functions() == std::vector<std::string>{"twice"});
    REQUIRE(package.function("twice"));
    CHECK(package.function("twice")->name() == "double");
    CHECK(package.function("twice")->file() == "helpers.py");
    CHECK(package.function("_hidden"));
    CHECK(!package.function("layers"));
    CHECK(!package.function("nothing"));

    const Package files(folder.path());
    const auto& layers = *files.module("layers");
    CHECK(files.lookup(layers, "double").kind == Symbol::Kind::function);
    CHECK(files.lookup(layers, "twice").statement == files.lookup(layers, "double").statement);
    CHECK(files.lookup(layers, "helpers").kind == Symbol::Kind::module);
    CHECK(files.lookup(layers, "nn").path == "torch.nn");
    CHECK(files.lookup(*files.module("helpers"), "_ops").kind == Symbol::Kind::ops_module);
    CHECK(files.attribute(files.lookup(*files.module("helpers"), "_ops"), "ops").kind == Symbol::Kind::ops);
    CHECK_THROWS_WITH_AS(files.lookup(layers, "a"), "loop2.py:1: the imports of `a` lead in a circle", Error);
}

TEST_CASE("A name that a condition decides cannot be told, one that an import decides can") {
    const TemporaryFolder folder;
    write_file(folder / "__init__.py", "");
    write_file(folder / "layers.py", R"(
import torch
if torch.cuda.is_available():
    def f(x): return x
else:
    def f(x): return x + 1
try:
    from ._ops import ops
except ImportError:
    ops = None
if TYPE_CHECKING:
    def g(x): return x
else:
    def g(x): return x + 1
from ... import outside
)");
    const Package files(folder.path());
    const auto& layers = *files.module("layers");
    CHECK(files.lookup(layers, "f").kind == Symbol::Kind::undecided);
    CHECK(files.lookup(layers, "f").path == "it depends on a condition at line 3");
    CHECK(files.lookup(layers, "ops").kind == Symbol::Kind::ops);
    CHECK(files.lookup(layers, "g").line == 14);
    CHECK_THROWS_WITH_AS(files.lookup(layers, "outside"), "layers.py:15: `...` leads out of the package",
                         Error);
}

TEST_CASE("A kernel written in Python is found behind the functions that call it") {
    const TemporaryFolder folder;
    write_file(folder / "__init__.py", "");
    write_file(folder / "rope.py",
               "import triton\n\n@triton.autotune(configs=[])\n@triton.jit\ndef _fwd(x): pass\n\n"
               "def launch(x):\n  _fwd[(1,)](x)\n");
    write_file(folder / "layers.py",
               "import torch\nfrom . import rope\nclass F(torch.autograd.Function):\n"
               "  @staticmethod\n  def forward(ctx, x): return rope.launch(x)\n"
               "class L(torch.nn.Module):\n  def forward(self, x): return F.apply(x)\n");
    const auto layer = HubModule::load(folder.path(), false).layer("L");
    CHECK(python_kernel_behind(layer.forward) == "the Triton kernel _fwd (rope.py:5)");
    CHECK(layer.python_backward);
}

TEST_CASE("A layer that is not there, by a name that is no name") {
    CHECK_THROWS_AS(layer_of(head + "    return x\n", "L("), Error);
    CHECK_THROWS_WITH_AS(layer_of(head + "    return x\n", "M"), "layers.py: there is no layer `M`", Error);
    CHECK_THROWS_WITH_AS(layer_of("if x:\n  class L(nn.Module): pass\n"),
                         "layers.py: the layer `L` cannot be told: it depends on a condition at line 1",
                         Error);
    const TemporaryFolder folder;
    CHECK_THROWS_AS(HubModule::load(folder.path(), false), Error);
}
