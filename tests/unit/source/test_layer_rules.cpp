// The flags of layers and functions, and the rules for hub layers.
#include <algorithm>

#include <doctest/doctest.h>

#include "layer_text.hpp"

using namespace kernels;
using kernels::testing::TemporaryFolder;
using namespace kernels::source;

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

TEST_CASE("Base classes in a circle are told once") {
    const auto layer = layer_of(
        "class A(B, Gone): pass\nclass B(A, Gone): pass\nclass L(A, B, nn.Module):\n"
        "    def forward(self, x):\n        return x\n");
    CHECK(std::count(layer.violations.begin(), layer.violations.end(),
                     "has the base class A, which is among its own base classes") == 1);
    const std::set<std::string> different(layer.violations.begin(), layer.violations.end());
    CHECK(different.size() == layer.violations.size());
    CHECK(layer.violations.size() <= 4);
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
        CHECK(layer_of(repeated("@wrap\n", 5000) + start + forward)
                  .unfit_for({}, {})
                  .ends_with("has the decorator @wrap and 4992 more"));
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
