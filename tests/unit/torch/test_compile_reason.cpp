// What TorchScript's compiler refuses, in our words: each from a source that it really refuses.
#include <torch/script.h>

#include "torch_doctest.hpp"

#include "kernels/core/error.hpp"
#include "torch/compile_reason.hpp"
#include "torch/frontend.hpp"

using namespace kernels;
using namespace kernels::torchscript;

namespace {

std::string refusal(const std::map<std::string, std::string>& files) {
    const auto package = std::make_shared<source::Package>(
        "package", [&](const std::string& name) -> std::optional<std::string> {
            const auto known = files.find(name);
            return known == files.end() ? std::nullopt : std::optional(known->second);
        });
    torch::jit::CompilationUnit unit;
    try {
        compile_function(unit, "f", *HubModule::read(package, true)->function("f"),
                         {"aten", {}, {}, std::nullopt});
    } catch (const Error& error) {
        return error.what();
    }
    return "compiled";
}

// `f` with these parameters and this body, which begins on line 4.
std::string of(const std::string& parameters, const std::string& body) {
    return refusal({{"__init__.py",
                     "import torch\nimport torch.nn.functional as F\ndef f(" + parameters + "):\n" + body}});
}

}  // namespace

TEST_CASE("Each kind of refusal in our words, with file, line and function") {
    CHECK(of("x: torch.Tensor", "    y = 1\n    for i in range(3):\n        y = 'a'\n    return y\n") ==
          "__init__.py:6: in `f`: the variable y is of type int first and then of type str; in "
          "TorchScript a "
          "variable keeps its type");
    CHECK(of("x: torch.Tensor, c: bool", "    if c:\n        return 1\n    return x\n") ==
          "__init__.py:6: in `f`: it returns Tensor here and int elsewhere; a TorchScript function has one "
          "type of "
          "result");
    CHECK(of("x: torch.Tensor", "    return torch.mul('a', 'b')\n") ==
          "__init__.py:4: in `f`: the arguments of the call of mul fit none of its forms");
    CHECK(of("x: int", "    return x.nothing()\n") ==
          "__init__.py:4: in `f`: .nothing is taken of a value of type int, which has none in TorchScript");
    CHECK(of("x: torch.Tensor", "    return F.dropout(x, 'half')\n") ==
          "__init__.py:4: in `f`: the argument p of dropout is of type str, and float is taken");
    CHECK(of("x: list[int] | None", "    return 1 if (x if x is None else x) else 2\n") ==
          "__init__.py:4: in `f`: a value of type Optional[List[int]] is used as a condition");
    CHECK(of("x: torch.Tensor, y: list[int]", "    a, b = y[0:2]\n    return torch.add(x, *y)\n") ==
          "__init__.py:5: in `f`: a list is unpacked whose length is known at run time only");
    CHECK(of("x: torch.Tensor, c: bool", "    if c:\n        y = x\n    return y\n") ==
          "__init__.py:4: in `f`: y gets its value in one branch of the condition only");
    CHECK(refusal({{"__init__.py", "from .inner import f\n"},
                   {"inner.py", "def g(x):\n    return x.nothing()\ndef f(x: int):\n    return g(x)\n"}}) ==
          "inner.py:2: in `g`: .nothing is taken of a value of type int, which has none in TorchScript");
}

TEST_CASE("A message of the compiler becomes one line without its marks") {
    CHECK(compile_reason("\nReturn value was annotated as having type int but is actually of type Tensor:\n  "
                         "File \"a.py\", "
                         "line 3\n    return x\n    ~~~~~~ <--- HERE\n") ==
          "it returns Tensor where int is expected");
    CHECK(compile_reason(
              "\nVariable 'og' previously had type NoneType but is now being assigned to a value of type "
              "Optional[Tensor] :\n  File \"a.py\", line 3\n") ==
          "the variable og is of type NoneType first and then of type Optional[Tensor]; in TorchScript a "
          "variable keeps "
          "its type");
    CHECK(compile_reason("Arguments for call are not valid.\nThe following variants are available:\n") ==
          "the arguments of the call fit none of its forms");
    CHECK(
        of("x: torch.Tensor, y: torch.Tensor | None", "    return y + x\n") ==
        "__init__.py:4: in `f`: the arguments of the call of add fit none of its forms: a Tensor among them "
        "may be None");
    CHECK(compile_reason("something\nelse.\n\nmore") == "something else");
    CHECK(compile_reason("") == "");
}

TEST_CASE("Names with dots stand for what they lead to") {
    const auto with = [](const std::string& top, const std::string& body) {
        return refusal({{"__init__.py", "import torch\nfrom . import inner, outer\n" + top +
                                            "\ndef f(x: torch.Tensor):\n    " + body + "\n"},
                        {"inner.py", "def g(x):\n    return x + 1\nSIZE = 3\n"},
                        {"outer.py", "from . import inner\nh = inner.g\n"}});
    };
    CHECK(with("", "return inner.g(x) + outer.inner.SIZE") == "compiled");
    CHECK(with("g = outer.inner.g", "return g(x)") == "compiled");
    CHECK(with("again = outer.h", "return again(x)") == "compiled");
    CHECK(with("", "return outer.nothing(x)") ==
          "__init__.py:5: in `f`: outer.nothing is Python code outside the kernel, which TorchScript cannot "
          "call");
    CHECK(with("g = g", "return g(x)") != "compiled");
    CHECK(with("a = b\nb = a", "return a(x)") != "compiled");
}
