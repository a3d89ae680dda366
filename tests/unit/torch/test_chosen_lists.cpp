// List comprehensions with conditions.
#include "package_layer.hpp"

using namespace kernels;
using namespace kernels::torchscript;

namespace {

std::vector<std::int64_t> numbers(const std::string& expression) {
    const auto list =
        run({{"layers.py", head + "    return " + expression + "\n"}}, {torch::ones({2, 3, 1, 4})});
    return list.toIntVector();
}

using Numbers = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("Lists of what a condition chooses") {
    CHECK(numbers("[d for d in range(x.dim()) if d != 1]") == Numbers{0, 2, 3});
    CHECK(numbers("[n for n in x.shape if n > 1]") == Numbers{2, 3, 4});
    CHECK(numbers("[n * i for i, n in enumerate(x.shape) if n > 1 if i > 0]") == Numbers{3, 12});
    CHECK(numbers("[a + b for a, b in zip(x.shape[1:], x.shape) if a != b]") == Numbers{5, 4, 5});
    CHECK(numbers("[n for n in [5, x.dim(), 7] if n % 2 == 1]") == Numbers{5, 7});
    CHECK(numbers("[n for n in x.shape if n > 100]").empty());
    CHECK(numbers("[n for n in [k for k in x.shape if k > 1] if n < 4]") == Numbers{2, 3});
    CHECK(numbers("[1] if x.dim() > 9 else [n for n in x.shape if n > 3]") == Numbers{4});
    CHECK(numbers("[sum(n for n in x.shape if n > 1)]") == Numbers{9});
    CHECK(body("    return x.reshape([n for n in x.shape if n != 1])\n", torch::ones({2, 1, 3})).sizes() ==
          at::IntArrayRef({2, 3}));
    CHECK(body("    return torch.cat([t for t in ops.all(x) if t.max() > 5])\n", x).equal(x * 2));
    CHECK(
        run({{"layers.py", head + "    return ''.join([s for s in 'a.b.c'.split('.') if s != 'b'])\n"}}, {x})
            .toStringRef() == "ac");
}

TEST_CASE("The condition says that an element is not None") {
    const std::string helper =
        "def both(x, bias=None):\n  return torch.stack([t * 2 for t in [x, bias] if t is not None]).sum(0)\n";
    const auto given = [&](const std::string& call) {
        return run({{"layers.py", imports + helper +
                                      "class L(nn.Module):\n  def forward(self, x):\n    return " + call +
                                      "\n"}},
                   {x})
            .toTensor();
    };
    CHECK(given("both(x, self.weight)").equal(x * 2 + 6));
    CHECK(given("both(x)").equal(x * 2));
}

TEST_CASE("Elements and conditions are computed as often as in Python") {
    // Each call counts.
    const std::string counting =
        "def even(n: int, calls: torch.Tensor):\n  calls.add_(1)\n  return n % 2 == 0\n"
        "def ten(n: int, calls: torch.Tensor):\n  calls.add_(100)\n  return n * 10\n"
        "def all(x, calls: torch.Tensor):\n  calls.add_(10000)\n  return x.shape\n";
    const auto calls =
        run({{"layers.py", imports + counting +
                               "class L(nn.Module):\n  def forward(self, x):\n"
                               "    calls = torch.zeros([1])\n"
                               "    found = [ten(n, calls) for n in all(x, calls) if even(n, calls)]\n"
                               "    return calls + len(found) * 1000000\n"}},
            {torch::ones({2, 3, 4})})
            .toTensor();
    CHECK(calls.item<double>() == 2010203);
}
