#include <torch/script.h>

// libtorch's logging has a CHECK of its own.
#undef CHECK
#include <doctest/doctest.h>

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "temporary_folder.hpp"
#include "torch/rewrite.hpp"

using namespace kernels;
using namespace kernels::torchscript;
using kernels::testing::TemporaryFolder;

namespace {

// Replaces the forward of a class with `original` by the layer L of `hub`; the reason when it is refused.
std::string replace(torch::jit::Module& layer, const std::string& original, const std::string& hub) {
    layer.define(original);
    const TemporaryFolder folder;
    write_file(folder / "layers.py", hub);
    const auto source = HubModule::load(folder.path(), false);
    KernelLayer kernel;
    kernel.op_namespace = "aten";
    try {
        replace_forward(layer, layer, source.layer("L"), kernel, {});
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

const std::string hundredfold =
    "class L(nn.Module):\n"
    "    def forward(self, x: torch.Tensor) -> torch.Tensor:\n"
    "        return x * 100\n";

}  // namespace

TEST_CASE("The result of a traced layer is found wherever the lifted values stand") {
    const auto x = torch::ones({2});
    for (const std::size_t place : {0, 1}) {
        torch::jit::Module layer("L" + std::to_string(place));
        const std::string result = place == 0 ? "(y, h)" : "(h, y)";
        CHECK(replace(layer,
                      "def forward(self, x):\n    h = x + 1\n    y = h * 2\n    return " + result + "\n",
                      hundredfold) == "");
        const auto out = layer.forward({x}).toTuple()->elements();
        CHECK(out[place].toTensor().equal(x * 100));
        CHECK(out[1 - place].toTensor().equal(x + 1));
    }
}

TEST_CASE("Where it cannot be told the layer stays as it is") {
    const auto x = torch::ones({2});
    torch::jit::Module layer("L");
    const auto reason = replace(layer, "def forward(self, x):\n    return (x + 1, x + 2)\n", hundredfold);
    CHECK(reason.find("own result cannot be told") != std::string::npos);
    CHECK(layer.forward({x}).toTuple()->elements()[0].toTensor().equal(x + 1));
    CHECK(!layer.find_method("kernels_hub_forward"));
}

TEST_CASE("A tuple for a tuple, and nothing else for it") {
    const std::string pair =
        "class L(nn.Module):\n"
        "    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:\n"
        "        return x * 100, x * 200\n";
    const auto x = torch::ones({2});
    torch::jit::Module layer("P");
    CHECK(replace(layer, "def forward(self, x):\n    return (x + 1, x + 2)\n", pair) == "");
    CHECK(layer.forward({x}).toTuple()->elements()[1].toTensor().equal(x * 200));
    torch::jit::Module single("S");
    CHECK(
        replace(single, "def forward(self, x):\n    return x + 1\n", pair).find("returns (Tensor, Tensor)") !=
        std::string::npos);
    CHECK(single.forward({x}).toTensor().equal(x + 1));
}

TEST_CASE("An attribute that the layer does not have is named") {
    torch::jit::Module layer("L");
    const auto reason = replace(layer, "def forward(self, x):\n    return x + 1\n",
                                "class L(nn.Module):\n"
                                "    def forward(self, x: torch.Tensor) -> torch.Tensor:\n"
                                "        return x * self.gain\n");
    CHECK(reason.find("gain") != std::string::npos);
}
