#include <torch/csrc/jit/frontend/parser.h>
#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/csrc/jit/frontend/sugared_value.h>
#include <torch/script.h>

#include "torch_doctest.hpp"

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "temporary_folder.hpp"
#include "torch/recover.hpp"
#include "torch/rewrite.hpp"

using namespace kernels;
using namespace kernels::torchscript;
using kernels::testing::TemporaryFolder;

namespace {

// Replaces the forward of a class by the layer L of `hub`.
ReplacedForward replaced_by(torch::jit::Module& layer, const std::string& hub, const Given& given = {}) {
    const TemporaryFolder folder;
    write_file(folder / "layers.py", hub);
    const auto source = HubModule::load(folder.path(), false);
    KernelLayer kernel;
    kernel.op_namespace = "aten";
    ClassUses uses(layer);
    return replace_forward(layer, source.layer("L"), kernel, given, uses);
}

// The same; the reason when it is refused.
std::string replace(torch::jit::Module& layer, const std::string& hub, const Given& given = {}) {
    try {
        replaced_by(layer, hub, given);
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

// The same for a class with the forward `original`.
std::string replace(torch::jit::Module& layer, const std::string& original, const std::string& hub) {
    layer.define(original);
    return replace(layer, hub);
}

// A class whose forward is from a file: of Python, as a scripted one is, or of a saved model without its
// debug files, which may have been traced.
torch::jit::Module layer_of(const std::string& file, const std::string& forward) {
    torch::jit::Module layer("L");
    torch::jit::Parser parser(std::make_shared<torch::jit::Source>(forward, file, 1));
    const torch::jit::SimpleSelf self(layer.type());
    layer._ivalue()->compilation_unit()->define(layer.type()->name(), {}, {},
                                                {torch::jit::Def(parser.parseFunction(true))},
                                                {torch::jit::nativeResolver()}, &self);
    return layer;
}

torch::jit::Module scripted(const std::string& forward) {
    return layer_of("layer.py", forward);
}

torch::jit::Module perhaps_traced(const std::string& forward) {
    return layer_of("code/__torch__.py", forward);
}

std::string hub_layer(const std::string& parameters, const std::string& result) {
    return "class L(nn.Module):\n    def forward(" + parameters + ") -> torch.Tensor:\n        return " +
           result + "\n";
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

TEST_CASE("A hub layer has the parameters of the layer that it replaces, in number and kind") {
    struct Case {
        std::string parameters, result, reason;
    };
    const std::vector<Case> cases = {
        {"self, x: torch.Tensor, y: float = 2.0", "x * y",
         "takes 2 arguments, this one 1; give y as attributes = { y = … } in the binding"},
        {"self, x: torch.Tensor, *, s=2.0", "x * s", "takes 2 arguments, this one 1; give s as attributes"},
        {"self, x: torch.Tensor, eps: float = 1e-6", "x + eps", "takes 2 arguments, this one 1; give eps"},
        {"self, x: torch.Tensor, bias: torch.Tensor = None", "x", "takes 2 arguments, this one 1"},
        {"self, x: torch.Tensor, **kwargs", "x", "takes 2 arguments, this one 1"},
        {"self", "torch.ones([2])", "takes 0 arguments, this one 1"},
        {"self, x: torch.Tensor, /", "x", "takes x by position only"},
        {"self, *, x: torch.Tensor", "x", "takes x by keyword only"},
    };
    const std::string forward = "def forward(self, x):\n    return torch.rsqrt(x + 0.5)\n";
    const auto x = torch::ones({2});
    for (const auto& one : cases) {
        CAPTURE(one.parameters);
        auto layer = scripted(forward);
        const auto reason = replace(layer, hub_layer(one.parameters, one.result));
        CAPTURE(reason);
        CHECK(reason.find(one.reason) != std::string::npos);
        CHECK(layer.forward({x}).toTensor().equal(torch::rsqrt(x + 0.5)));
        CHECK(!layer.find_method("kernels_hub_forward"));
    }
    // Of code that may have been traced a scalar may be gone; a default is still no value of the model's.
    for (const std::size_t i : {0, 1}) {
        auto layer = perhaps_traced(forward);
        CHECK(replace(layer, hub_layer(cases[i].parameters, cases[i].result)).find(cases[i].reason) !=
              std::string::npos);
    }
    auto traced = perhaps_traced(forward);
    CHECK(replace(traced, hub_layer(cases[2].parameters, cases[2].result)) == "");
    CHECK(traced.forward({x}).toTensor().equal(x + 0.5));
}

TEST_CASE("Further parameters of a hub layer are what the binding gives") {
    const auto x = torch::ones({2});
    for (const char* parameters :
         {"self, x: torch.Tensor, y: float = 2.0", "self, x: torch.Tensor, *, y=2.0"}) {
        auto layer = scripted("def forward(self, x):\n    return x + 1\n");
        CHECK(replace(layer, hub_layer(parameters, "x * y"), Given{{{"y", 3.0}}, {}}) == "");
        CHECK(layer.forward({x}).toTensor().equal(x * 3));
    }
    // Beside one that is no tensor.
    auto layer = scripted("def forward(self, x, n: int):\n    return x + n\n");
    CHECK(replace(layer, hub_layer("self, x: torch.Tensor, n: int, y: float = 2.0", "x * n * y"),
                  Given{{{"y", 3.0}}, {"x", "n"}}) == "");
    CHECK(layer.forward({x, 5}).toTensor().equal(x * 15));
}

TEST_CASE("An attribute that tracing left out because it is None") {
    const std::string hub =
        "import torch\nclass L(torch.nn.Module):\n  def forward(self, x):\n"
        "    return torch.layer_norm(x, [4], self.weight, self.bias, 0.5)\n";
    const auto said = [&](const std::string& forward) {
        auto layer = perhaps_traced("def forward(self, x):\n    return " + forward + "\n");
        layer.register_attribute("weight", c10::OptionalType::ofTensor(), c10::IValue());
        return replace(layer, hub);
    };
    CHECK(said("torch.layer_norm(x, [4], None, None, 0.25)").empty());
    const std::string lacks = "the kernel's layer needs the attribute bias";
    // It may be anything here, or there is another.
    for (const char* other : {"x + 1", "torch.layer_norm(x, [4], None, x, 0.25)",
                              "torch.layer_norm(x, [4], None, None, 0.25) + torch.linear(x, x, x)"})
        CHECK(said(other).find(lacks) != std::string::npos);
}

TEST_CASE("A traced layer stays as it is where something writes what tracing may have written in") {
    const std::string forward = "def forward(self, x):\n    return x + 0.5\n";
    const std::string hub = hub_layer("self, x: torch.Tensor", "x + self.n");
    for (const char* body : {"self.n = y", "if y > 0:\n        self.n = y", "self.all.append(y)"}) {
        CAPTURE(std::string(body));
        for (const bool traced : {true, false}) {
            auto layer = traced ? perhaps_traced(forward) : scripted(forward);
            layer.register_attribute("n", c10::FloatType::get(), 0.5);
            layer.register_attribute("all", c10::ListType::ofFloats(), c10::List<double>());
            layer.define(std::string("def change(self, y: float):\n    ") + body + "\n");
            const auto reason = replace(layer, hub);
            CAPTURE(reason);
            CHECK(reason.empty() != traced);
            if (traced)
                CHECK(reason.find(" is written by the model's change, and its code") != std::string::npos);
        }
    }
}

TEST_CASE("Methods of a layer are not the same where one does more than compute") {
    const std::string step = "    y = x * 2\n";
    const std::string end = "    return y\n";
    const auto reason_for = [&](const std::string& effect) {
        auto layer = scripted("def forward(self, x):\n" + step + effect + end);
        layer.define("def forward1(self, x):\n" + step + end);
        return replace(layer, hundredfold);
    };
    CHECK(reason_for("").empty());
    for (const char* effect :
         {"    y.add_(1)\n", "    x.add_(1)\n", "    if x.size(0) > 5:\n        y.mul_(2)\n",
          "    print(x)\n", "    assert x.size(0) > 5\n",
          "    for i in range(x.size(0)):\n        y.add_(i)\n", "    torch.manual_seed(1)\n"}) {
        CAPTURE(std::string(effect));
        CHECK(reason_for(effect).find("cannot be shown to compute the same") != std::string::npos);
    }
}

TEST_CASE("Nothing of the original is left: what it changed, raised or called") {
    const std::string hub =
        "import torch\nclass L(torch.nn.Module):\n  def forward(self, x):\n    return x + 1\n";
    for (const char* body :
         {"    return torch.dropout(torch.dropout(x, 0.5, self.training), 0.5, self.training)\n",
          "    assert x.dim() == 5, 'five dimensions'\n    return x\n", "    x.mul_(3)\n    return x\n",
          "    return torch.silu_(x)\n", "    y = x.float()\n    y.mul_(2)\n    return y\n",
          "    if x.dim() == 1:\n        x.add_(1)\n    return x\n",
          "    self.count.add_(1)\n    return x * self.count\n",
          "    self.steps = self.steps + 1\n    return x * self.steps\n",
          "    return self.child.forward(x)\n"}) {
        CAPTURE(std::string(body));
        torch::jit::Module child("Child");
        child.define("def forward(self, x: Tensor) -> Tensor:\n    return x.mul_(3)\n");
        torch::jit::Module layer("L");
        layer.register_module("child", child);
        layer.register_attribute("training", c10::BoolType::get(), true);
        layer.register_buffer("count", torch::zeros({1}));
        layer.register_attribute("steps", c10::IntType::get(), 0);
        CHECK(replace(layer, std::string("def forward(self, x: Tensor) -> Tensor:\n") + body, hub) == "");
        const auto x = torch::ones({3});
        CHECK(layer.forward({x}).toTensor().equal(torch::full({3}, 2.0)));
        CHECK(x.equal(torch::ones({3})));
        CHECK(layer.attr("count").toTensor().item<float>() == 0);
        CHECK(layer.attr("steps").toInt() == 0);
        for (const auto* node : layer.get_method("forward").graph()->nodes())
            CHECK(node->kind() != torch::jit::prim::CallMethod);
    }
}

TEST_CASE("A layer that changes something in place and returns what tracing lifted stays as it is") {
    const std::string hub =
        "import torch\nclass L(torch.nn.Module):\n  def forward(self, x):\n    return x + 1\n";
    for (const bool writes : {true, false}) {
        CAPTURE(writes);
        torch::jit::Module layer("L");
        const std::string forward = std::string("def forward(self, x: Tensor):\n    y = x * 5\n") +
                                    (writes ? "    y.add_(1)\n" : "") + "    return (y, y * 3)\n";
        const auto reason = replace(layer, forward, hub);
        CHECK(reason.empty() != writes);
        if (writes)
            CHECK(reason == "it changes tensors or attributes in place, and returns more than its result");
        if (writes) continue;
        const auto result = layer.forward({torch::ones({3})}).toTuple()->elements();
        CHECK(result[0].toTensor().equal(torch::full({3}, 5.0)));
        CHECK(result[1].toTensor().equal(torch::full({3}, 2.0)));
    }
}

TEST_CASE("A kernel that reads the mode in the place of a trace that may have it written in is told of") {
    const std::string start = "import torch\nclass L(torch.nn.Module):\n  def forward(self, x):\n";
    const std::string reading = start + "    return torch.dropout(x, 0.5, self.training)\n";
    const auto follows = [&](torch::jit::Module layer, const std::string& hub) {
        layer.register_attribute("training", c10::BoolType::get(), false);
        return replaced_by(layer, hub).follows_training;
    };
    const std::string fixed =
        "def forward(self, x: Tensor) -> Tensor:\n    return torch.dropout(x, 0.5, False)\n";
    CHECK(follows(perhaps_traced(fixed), reading));
    CHECK(!follows(perhaps_traced(fixed), start + "    return x * 1.0\n"));
    CHECK(!follows(scripted(fixed), reading));
}

TEST_CASE("An epsilon has its word in the name") {
    for (const char* name : {"eps", "epsilon", "variance_epsilon", "layer_norm_eps", "eps1", "eps_2", "_eps",
                             "layerNormEps", "EPS", "config.rms_norm_eps"}) {
        CAPTURE(std::string(name));
        CHECK(names_epsilon(name));
    }
    for (const char* name : {"steps", "num_steps", "reps", "epsilons", "depth", ""}) {
        CAPTURE(std::string(name));
        CHECK(!names_epsilon(name));
    }
    const std::string norm = "x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 0.5)";
    const auto x = torch::ones({2});
    for (const bool is_epsilon : {true, false}) {
        torch::jit::Module layer("L");
        layer.define("def forward(self, x: Tensor) -> Tensor:\n    return " + norm + "\n");
        const std::string name = is_epsilon ? "self.norm_eps" : "self.steps";
        const auto reason = replace(layer, hub_layer("self, x: torch.Tensor", "x * " + name));
        CHECK(reason.empty() == is_epsilon);
        if (is_epsilon) CHECK(layer.forward({x}).toTensor().equal(x * 0.5));
        if (!is_epsilon) CHECK(reason.find("needs the attribute steps") != std::string::npos);
    }
}

namespace {

// Knows the functions of a unit.
struct FunctionResolver : torch::jit::NativeResolver {
    explicit FunctionResolver(torch::jit::CompilationUnit& owner) : unit(owner) {}
    std::shared_ptr<torch::jit::SugaredValue> resolveValue(const std::string& name,
                                                           torch::jit::GraphFunction& method,
                                                           const torch::jit::SourceRange& place) override {
        auto* function = unit.find_function(name);
        if (function == nullptr) return NativeResolver::resolveValue(name, method, place);
        return std::make_shared<torch::jit::FunctionValue>(function);
    }
    torch::jit::CompilationUnit& unit;
};

}  // namespace

TEST_CASE("An epsilon is found in the functions that a layer calls") {
    torch::jit::CompilationUnit unit;
    unit.define(std::nullopt,
                "def inner(x: Tensor, eps: float):\n"
                "    return torch.rms_norm(x, [2], None, eps)\n"
                "def outer(x: Tensor, eps: Optional[float] = None):\n"
                "    if eps is None:\n"
                "        y = x\n"
                "    else:\n"
                "        y = inner(x, eps)\n"
                "    return y\n"
                "def other(x: Tensor, eps: float = 0.25):\n"
                "    return x / torch.sqrt(x * x + eps)\n",
                torch::jit::nativeResolver(), nullptr);
    const auto x = torch::ones({2});
    const auto reason = [&](const std::string& result) {
        torch::jit::Module layer("L");
        layer.register_attribute("own", c10::FloatType::get(), 0.25);
        layer.define("def forward(self, x: Tensor) -> Tensor:\n    return " + result + "\n",
                     std::make_shared<FunctionResolver>(unit));
        const auto problem = replace(layer, hub_layer("self, x: torch.Tensor", "x * self.eps"));
        if (problem.empty()) CHECK(layer.forward({x}).toTensor().equal(x * 0.25));
        return problem;
    };
    CHECK(reason("inner(x, 0.25)") == "");
    CHECK(reason("inner(x, self.own)") == "");
    CHECK(reason("inner(inner(x, 0.25), 0.25)") == "");
    CHECK(reason("other(x)") == "");
    CHECK(reason("x * 2").find("needs the attribute eps") != std::string::npos);
    CHECK(reason("inner(other(x), 0.5)").find("which of its numbers it is cannot be told") !=
          std::string::npos);
    CHECK(reason("outer(x, 0.25)") == "");
}
