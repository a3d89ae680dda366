#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>

#include "torch_doctest.hpp"

#include "torch/graph_run.hpp"

using kernels::torchscript::dtypes_read;
using kernels::torchscript::run_graph;
using kernels::torchscript::run_in_double;
using torch::jit::Module;

namespace {

// Control flow, containers, calls of methods and state.
Module busy() {
    Module inner("Inner");
    inner.register_parameter("weight", torch::full({3}, 2.0), false);
    inner.define("def forward(self, x, factor: float = 0.5):\n    return x * self.weight * factor\n");
    Module module("Busy");
    module.register_module("inner", inner);
    module.register_attribute("steps", c10::IntType::get(), 0);
    module.define(R"(
def pair(self, x):
    return self.inner.forward(x), [x, x + 1]
def forward(self, x, times: int = 3):
    total = torch.zeros_like(x)
    seen: List[int] = []
    for i in range(times):
        a, b = self.pair(x)
        first, second = b
        if i % 2 == 0:
            total = total + a
        else:
            total = total - second
        if float(total.sum()) > 1000.0:
            return total
        self.steps += 1
        seen.append(i)
    while bool(total.sum() < 10):
        total = total + 1
    return total + float(len(seen))
def named(self, x):
    found = {"x": x}
    if isinstance(x, Tensor):
        return found["x"] + 1, "a {}".format(1)
    return x, "none"
def numbers(self, x):
    values: List[float] = x.tolist()
    return x * values[1]
def fails(self, x):
    assert x.size(0) == 1, "too long"
    return x
def narrow(self, x):
    return x.to(6) + torch.zeros([3], dtype=6)  # float32
def narrow_as(self, x, dtype: int):
    return x.to(dtype)
)");
    return module;
}

// A model in float32 with state, and weights of which some are too large to be copied.
Module remembering() {
    Module module("Remembering");
    module.register_parameter("weight", torch::full({3}, 1.0 / 3), false);
    module.register_parameter("table", torch::randn({1100, 1025}), false);
    module.register_buffer("sum", torch::zeros({3}));
    const auto both = torch::zeros({2, 3});
    module.register_buffer("both", both);
    module.register_buffer("one", both[1]);
    module.register_attribute("seen", c10::ListType::ofTensors(), c10::List<at::Tensor>());
    module.register_attribute("last", c10::TensorType::get(), torch::zeros({3}));
    module.define(R"(
def forward(self, x):
    self.sum.add_(x * self.weight)
    self.seen.append(self.sum * 2)
    self.last = x.to(self.weight.dtype)
    return self.sum + self.seen[0] + self.last
def multiply(self, x):
    return torch.linear(x, self.table), torch.matmul(torch.ones([2, 1100]), self.table)
def embed(self, i):
    rows = torch.embedding(self.table, i)
    return rows.mul_(self.table[0])
def share(self, x):
    self.one.copy_(x)
    return self.both[1] * 2
def copies(self, x):
    rows = self.table.t().contiguous()
    rows[0] = 0
    return torch.addmm(rows[1], x, rows, beta=2, alpha=3)
def writes(self, x):
    return self.weight.add_(x)
)");
    return module;
}

}  // namespace

TEST_CASE("Node by node code gives what libtorch gives") {
    auto module = busy();
    const torch::NoGradGuard no_gradients;
    const auto x = torch::arange(3, torch::kFloat);
    for (const auto& [method, arguments] :
         std::vector<std::pair<std::string, std::vector<c10::IValue>>>{{"forward", {x}},
                                                                       {"forward", {x, 0}},
                                                                       {"forward", {x * 500, 5}},
                                                                       {"numbers", {x}},
                                                                       {"pair", {x}},
                                                                       {"named", {x}}}) {
        CAPTURE(method);
        const auto before = module.attr("steps").toInt();
        const auto expected = module.get_method(method)(arguments);
        const auto steps = module.attr("steps").toInt();
        module.setattr("steps", before);
        const torch::jit::GraphOptimizerEnabledGuard no_optimization(false);
        const auto found = run_graph(module, method, arguments);
        CHECK(module.attr("steps").toInt() == steps);
        if (expected.isTensor()) {
            CHECK(found.toTensor().equal(expected.toTensor()));
        } else {
            const auto& elements = found.toTupleRef().elements();
            CHECK(elements[0].toTensor().equal(expected.toTupleRef().elements()[0].toTensor()));
            if (method == "pair") CHECK(elements[1].toTensorVector()[1].equal(x + 1));
            if (method == "named") CHECK(elements[1].toStringRef() == "a 1");
        }
    }
    const torch::jit::GraphOptimizerEnabledGuard no_optimization(false);
    CHECK_THROWS_WITH(run_graph(module, "fails", {x}), doctest::Contains("too long"));
    CHECK_THROWS(run_graph(module, "forward", {}));
}

TEST_CASE("Code that names dtypes computes in float64 where that is asked for") {
    auto module = busy();
    const auto x = torch::full({3}, 1 + 1e-12, torch::kDouble);
    const torch::jit::GraphOptimizerEnabledGuard no_optimization(false);
    CHECK(run_graph(module, "narrow", {x}).toTensor().equal(torch::ones({3})));
    CHECK(run_in_double(module, "narrow", {x}, {}).toTensor().equal(x));
    const auto graph =
        torch::jit::toGraphFunction(module.get_method("narrow").function()).graph()->toString();
    CHECK(graph.find("value=7") == std::string::npos);  // float64: the code itself stays
    CHECK(run_in_double(module, "narrow_as", {x, 6}, {}).toTensor().equal(x));
}

TEST_CASE("In float64 code computes with its weights, and leaves the model as it was") {
    const torch::NoGradGuard no_gradients;
    auto module = remembering();
    const auto weight = module.attr("weight").toTensor();
    const auto table = module.attr("table").toTensor();
    const auto wide_table = table.to(torch::kDouble);
    const auto x = torch::rand({3}, torch::kDouble);
    const auto wide = [&](const std::string& method, const std::vector<c10::IValue>& arguments) {
        std::vector<c10::IValue> narrow;
        for (const auto& argument : arguments)
            narrow.emplace_back(argument.toTensor().is_floating_point()
                                    ? argument.toTensor().to(torch::kFloat)
                                    : argument.toTensor());
        return run_in_double(module, method, arguments, dtypes_read(module, method, narrow));
    };
    for (int i = 0; i < 2; ++i)
        CHECK(wide("forward", {x}).toTensor().equal(x * weight.to(torch::kDouble) * 3 + x));
    CHECK(module.attr("sum").toTensor().equal(torch::zeros({3})));
    CHECK(module.attr("last").toTensor().equal(torch::zeros({3})));
    CHECK((module.attr("last").toTensor().scalar_type() == torch::kFloat));

    const auto rows = torch::randn({2, 1025}, torch::kDouble);
    const auto products = wide("multiply", {rows}).toTupleRef().elements().vec();
    CHECK(torch::allclose(products[0].toTensor(), torch::matmul(rows, wide_table.t()), 1e-13, 1e-12));
    CHECK(torch::allclose(products[1].toTensor(), wide_table.sum(0).expand({2, 1025}), 1e-13, 1e-12));
    const auto picked = torch::tensor({5, 7});
    CHECK(wide("embed", {picked}).toTensor().equal(wide_table.index_select(0, picked) * wide_table[0]));
    CHECK(wide("share", {x}).toTensor().equal(x * 2));
    CHECK(module.attr("both").toTensor().equal(torch::zeros({2, 3})));
    auto turned = wide_table.t().contiguous();
    turned[0].zero_();
    const auto sum = torch::addmm(turned[1], rows, turned, 2, 3);
    CHECK(torch::allclose(wide("copies", {rows}).toTensor(), sum, 1e-13, 1e-12));
    CHECK_THROWS_WITH(wide("writes", {x}), doctest::Contains("not in float64"));
    CHECK(weight.equal(torch::full({3}, 1.0 / 3)));
    CHECK((table.scalar_type() == torch::kFloat));
}
