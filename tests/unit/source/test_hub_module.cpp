// What names lead to in the modules of a package.
#include <doctest/doctest.h>

#include "layer_text.hpp"

using namespace kernels;
using kernels::testing::TemporaryFolder;
using namespace kernels::source;

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
    try {
        layer_of("");
        FAIL("an empty file has a layer");
    } catch (const Error& error) {
        CHECK(error.hint() == "it defines no layers");
    }
    CHECK_THROWS_WITH_AS(layer_of("if x:\n  class L(nn.Module): pass\n"),
                         "layers.py: the layer `L` cannot be told: it depends on a condition at line 1",
                         Error);
    const TemporaryFolder folder;
    CHECK_THROWS_AS(HubModule::load(folder.path(), false), Error);
}
