// What loops leave behind, what they go through backwards, and lists within lists.
#include "package_layer.hpp"

using namespace kernels;
using namespace kernels::torchscript;
using kernels::testing::has;

namespace {

bool is(const std::string& statements, double factor) {
    return body(statements, x).equal(x * factor);
}

std::string why(const std::string& statements) {
    return refused({{"layers.py", head + statements}});
}

}  // namespace

TEST_CASE("A variable keeps behind its loop what the last round gave it") {
    CHECK(is("    for i in range(3):\n      pass\n    return x * i\n", 2));
    CHECK(is("    for i in range(1, 9):\n      if i == 4:\n        break\n    return x * i\n", 4));
    CHECK(is("    for i in range(x.shape[0]):\n      pass\n    return x * i\n", 3));
    CHECK(is("    i = 7\n    for i in range(x.dim() - 1):\n      pass\n    return x * i\n", 7));
    CHECK(
        is("    s = 0\n    for i in range(2):\n      for j in range(3):\n        s += j\n      s += 10 * j\n"
           "    return x * s\n",
           46));
    // A list's own variable is another one.
    CHECK(is("    for i in x.shape:\n      pass\n    return x * sum([i for i in range(4)])\n", 6));
}

TEST_CASE("A loop that has not run gives its variable nothing") {
    const std::string never = "    for i in range(x.dim() - 1):\n      pass\n    return x * i\n";
    CHECK_THROWS_WITH(body(never, x), doctest::Contains("the loop that gives i its value has not run"));
    const std::string listed = why("    for i, n in enumerate(x.shape):\n      pass\n    return x * i\n");
    CHECK(has(listed, "layers.py:9: "));
    CHECK(has(listed, "`i` is read outside of its loop at line 7"));
    // In Python it is read in one of the branches only.
    CHECK(has(why("    for i in range(x.dim()):\n      pass\n    return x * i if x.dim() > 1 else x\n"),
              "`i` is read outside of its loop at line 7"));
}

TEST_CASE("reversed, where it is gone through") {
    const auto digits = [](const std::string& over) {
        return "    s = 0\n    for i in " + over + ":\n      s = s * 10 + i\n    return x * s\n";
    };
    CHECK(is(digits("reversed(range(4))"), 3210));
    CHECK(is(digits("reversed([1, 2, 3])"), 321));
    CHECK(is(digits("reversed((1, 2, 3))"), 321));
    CHECK(is(digits("list(reversed([4, 5]))"), 54));
    CHECK(is(digits("[i for i in reversed([1, 2, 3]) if i != 2]"), 31));
    CHECK(
        is("    s = 0\n    for i, n in enumerate(reversed([5, 7])):\n      s += 10 * i + n\n"
           "    return x * s\n",
           22));
    CHECK(body("    return x.permute(*reversed(range(x.dim())))\n", torch::rand({2, 3})).sizes() ==
          at::IntArrayRef({3, 2}));
    CHECK(has(why("    r = reversed([1, 2])\n    return x * sum(r)\n"),
              "layers.py:7: in `L.forward`: reversed() of which more"));
    CHECK(has(why("    a = [1, 2]\n    for i in reversed(a):\n      a[0] = 5\n    return x\n"),
              "layers.py:9: in `L.forward`: the list `a` changes while a loop goes through it"));
}

TEST_CASE("A list of one list is no list of its elements") {
    const auto rows = torch::rand({2, 3});
    CHECK(body("    for row in [[x[i] for i in range(2)]]:\n      x = x + row[0]\n    return x\n", rows)
              .equal(rows + rows[0]));
    CHECK(is("    return x * len([[i for i in range(5)]])\n", 1));
    CHECK(is("    return x * len([[i for i in range(5)], [1]])\n", 2));
    CHECK(is("    return x * sum([j for j in [i * 2 for i in range(4)] if j > 2])\n", 10));
    CHECK(has(why("    return x[[[0, 1]]]\n"), "layers.py:7: in `L.forward`: a list of lists as an index"));
}

TEST_CASE("A complex number keeps the layer that comes to it and no other") {
    const std::string files = imports +
                              "I = 5j\nONE = 5j.imag\ndef other(x):\n  return x * 2j\n"
                              "class L(nn.Module):\n  def forward(self, x):\n    return x * 2\n";
    CHECK(run({{"layers.py", files}}, {x}).toTensor().equal(x * 2));
    CHECK(has(why("    return x * 5j.imag\n"), "layers.py:7: "));
}
