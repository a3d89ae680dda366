#include <doctest/doctest.h>

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "temporary_folder.hpp"
#include "torch/hub_source.hpp"

using namespace kernels;
using kernels::testing::TemporaryFolder;
using kernels::torchscript::HubModule;
using kernels::torchscript::LayerSource;

namespace {

LayerSource layer_of(const std::string& text, const std::string& name = "L") {
    const TemporaryFolder folder;
    write_file(folder / "layers.py", text);
    return HubModule::load(folder.path(), false).layer(name);
}

std::string refused(const std::string& text) {
    try {
        layer_of(text);
    } catch (const Error& error) {
        return error.what();
    }
    return "nothing was refused";
}

std::string repeated(const std::string& text, std::size_t times) {
    std::string all;
    for (std::size_t i = 0; i < times; ++i)
        all += text;
    return all;
}

const std::string head = "class L(nn.Module):\n    def forward(self, x):\n";

}  // namespace

TEST_CASE("A layer's flags, docstrings and modern types") {
    const auto layer = layer_of(R"(
class L(torch.nn.Module):
    """A layer."""
    weight: torch.Tensor
    can_torch_compile: bool = True
    has_backward = False

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> tuple[torch.Tensor, int]:
        """Does it."""
        return x, 1
)");
    CHECK(layer.violations.empty());
    CHECK(layer.can_torch_compile);
    CHECK(!layer.has_backward);
    CHECK(layer.forward.line == 8);
    CHECK(
        layer.forward.text ==
        "def forward(self, x: torch.Tensor, y: Optional[torch.Tensor] = None) -> Tuple[torch.Tensor, int]:\n"
        "    return x, 1\n");
}

TEST_CASE("An autograd function becomes its forward without what only backward needs") {
    const auto layer = layer_of(R"(
class F(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, scale=2.0):
        ctx.save_for_backward(
            a)
        return a * scale

class L(nn.Module):
    def forward(self, x):
        return F.apply(x)
)");
    CHECK(layer.forward.text ==
          "def forward(self, x):\n"
          "    hub_argument_0 = x\n"
          "    hub_argument_1 = 2.0\n"
          "    a = hub_argument_0\n"
          "    scale = hub_argument_1\n"
          "    return a * scale\n");
}

TEST_CASE("Each broken rule for hub layers is named") {
    const std::string forward = "    def forward(self, x):\n        return x\n";
    const std::string start = "class L(nn.Module):\n";
    CHECK(layer_of(start + "    def __init__(self):\n        pass\n" + forward).violations ==
          std::vector<std::string>{"has a constructor"});
    CHECK(layer_of(start + "    size = 3\n" + forward).violations ==
          std::vector<std::string>{"has the further member size"});
    CHECK(layer_of("class L(object):\n" + forward).violations ==
          std::vector<std::string>{"is no torch.nn.Module"});
    CHECK(layer_of(start + "    pass\n").violations == std::vector<std::string>{"has no forward of its own"});
}

TEST_CASE("Source that would exhaust a stack is refused") {
    CHECK(refused(head + "        return " + repeated("(", 1000) + "x\n").find("brackets") !=
          std::string::npos);
    CHECK(refused(head + "        return (\n" + repeated("- - - - - -\n", 10000) + "x)\n")
              .find("statement of more") != std::string::npos);
    CHECK(refused(head + "        return " + repeated("-", 100000) + "x\n") ==
          "layers.py:3: the line has more than 2000 characters");
    CHECK(refused(head + "        y = 1\n" + repeated("        y = y\n", 1000) + "        return x\n")
              .find("more than 1000 lines") != std::string::npos);
    CHECK(refused(head + repeated(" ", 200) + "return x\n").find("too deeply") != std::string::npos);
}

TEST_CASE("A layer that is not there, by a name that is no name") {
    CHECK_THROWS_AS(layer_of(head + "        return x\n", "L("), Error);
    CHECK_THROWS_AS(layer_of(head + "        return x\n", "M"), Error);
}
