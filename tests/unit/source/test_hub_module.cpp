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
                         "layers.py:2: the layer `L` cannot be told: it depends on a condition at line 1",
                         Error);
    CHECK_THROWS_WITH_AS(
        layer_of("class L(nn.Module): pass\nclass L(nn.Module): pass\nif x:\n  from y import L\n"),
        "layers.py:4: the layer `L` cannot be told: it depends on a condition at line 3", Error);
    const TemporaryFolder folder;
    CHECK_THROWS_AS(HubModule::load(folder.path(), false), Error);
    write_file(folder / "__init__.py", "");
    write_file(folder / "layers.py",
               "import torch.nn as nn\nclass L(nn.Module): pass\nclass L(nn.Module): pass\nif x:\n"
               "  from .y import L\nclass M(nn.Module): pass\nM = 3\n");
    CHECK(HubModule::load(folder.path(), false).layers() == std::vector<std::string>{"L"});
}

TEST_CASE("Other names of layers and functions are followed") {
    const TemporaryFolder folder;
    write_file(folder / "__init__.py",
               "from .more import norm, Far\nfrom . import more\nfast = norm\nfaster = fast\n"
               "deep = more.norm\nnorm = norm\nloop = ring\nring = loop\nsize = 3\nimport torch\n"
               "sqrt = torch.sqrt\nlate = other\ndef other(x): return x\ndef other(x): return x + 1\n"
               "fast.can_torch_compile = True\n");
    write_file(folder / "more.py",
               "import torch.nn as nn\ndef norm(x): return x\n"
               "class Far(nn.Module):\n  def forward(self, x): return x\nFarther = Far\n");
    write_file(folder / "layers.py",
               "import torch.nn as nn\nfrom .more import Far, Farther\nfrom . import more\n"
               "class L(nn.Module):\n  def forward(self, x): return x\n"
               "Alias = L\nL = L\nOther: type = Alias\nMoved = Farther\nDotted = more.Farther\n"
               "A = B\nB = A\nTorch = nn.ReLU\nMade = L()\ntwin, single = L, L\n"
               "Alias.has_backward = False\n");
    const auto package = HubModule::load(folder.path(), true);
    for (const char* name : {"fast", "faster", "deep", "norm"}) {
        CAPTURE(name);
        REQUIRE(package.function(name));
        CHECK(package.function(name)->name() == "norm");
        CHECK(package.function_layer(name).can_torch_compile);
    }
    CHECK(package.functions() == std::vector<std::string>{"deep", "fast", "faster", "norm", "other"});
    const auto message = [](const auto& call) -> std::string {
        try {
            call();
        } catch (const Error& error) {
            CHECK(error.code() == ErrorCode::not_found);
            return error.what() + std::string(error.hint().empty() ? "" : " | ") + error.hint();
        }
        return "found";
    };
    const auto why_no_function = [&](const char* name) {
        return message([&] { package.function_layer(name); });
    };
    CHECK(why_no_function("loop") ==
          "__init__.py:7: the function `loop` cannot be told: it is `ring` at line 7, and `ring` is bound "
          "after that "
          "at line 8");
    CHECK(why_no_function("size") == "__init__.py: the function `size` is a value (__init__.py:9)");
    CHECK(why_no_function("sqrt") ==
          "__init__.py:11: the function `sqrt` is torch.sqrt, which is not the kernel's own");
    CHECK(why_no_function("Far") == "__init__.py: the function `Far` is a class (more.py:3)");
    CHECK(
        why_no_function("late") ==
        "__init__.py:12: the function `late` cannot be told: it is `other` at line 12, and `other` is bound "
        "after "
        "that at line 14");

    const auto layers = HubModule::load(folder.path(), false);
    for (const char* name : {"L", "Alias", "Other"}) {
        CAPTURE(name);
        CHECK(layers.layer(name).forward.line() == 5);
        CHECK(!layers.layer(name).has_backward);
        CHECK(layers.layer(name).violations.empty());
    }
    for (const char* name : {"Far", "Farther", "Moved", "Dotted"}) {
        CAPTURE(name);
        CHECK(layers.layer(name).forward.file() == "more.py");
        CHECK(layers.layer(name).violations.empty());
    }
    const auto why_no_layer = [&](const char* name) { return message([&] { layers.layer(name); }); };
    CHECK(why_no_layer("A").starts_with("layers.py:11: the layer `A` cannot be told: it is `B` at line 11"));
    CHECK(why_no_layer("Torch") ==
          "layers.py:13: the layer `Torch` is torch.nn.ReLU, which is not the kernel's own");
    CHECK(why_no_layer("Made") == "layers.py: the layer `Made` is a value (layers.py:14)");
    CHECK(why_no_layer("twin").starts_with("layers.py:15: the layer `twin` cannot be told: "));
    CHECK(why_no_layer("Unheard") == "layers.py: there is no layer `Unheard` | it defines L");
}

TEST_CASE("Names that stand for each other in a circle across files are refused") {
    const TemporaryFolder folder;
    write_file(folder / "__init__.py", "");
    write_file(folder / "layers.py", "from . import other\nA = other.B\nL = X\n");
    write_file(folder / "other.py", "from . import layers\nB = layers.A\n");
    const auto layers = HubModule::load(folder.path(), false);
    CHECK_THROWS_WITH_AS(layers.layer("A"),
                         "layers.py:2: the layer `A` cannot be told: it stands for itself at line 2", Error);
    CHECK_THROWS_AS(layers.layer("L"), Error);
}
