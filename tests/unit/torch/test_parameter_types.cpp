// Functions that do not say what their parameters are, compiled and called as Python would.
#include "package_layer.hpp"

using namespace kernels;
using namespace kernels::torchscript;
using kernels::testing::TemporaryFolder;

namespace {

// `f` of a package with this source.
c10::IValue call(const std::string& source, const std::vector<c10::IValue>& inputs) {
    with_ops();
    const TemporaryFolder folder;
    write_package(folder, {{"__init__.py", imports + source}});
    torch::jit::CompilationUnit unit;
    const auto package = HubModule::load(folder.path(), true);
    return compile_function(unit, "f", *package.function("f"), {op_namespace, {}, {}, std::nullopt})(inputs);
}

at::Tensor tensor(const std::string& source, const std::vector<c10::IValue>& inputs) {
    return call(source, inputs).toTensor();
}

}  // namespace

TEST_CASE("A parameter is what its default is") {
    CHECK(tensor("def f(x, size=(-1, 2)): return x * size[0] + size[1]\n", {x}).equal(2 - x));
    CHECK(tensor("def f(x, n=-1): return x * n\n", {x, 3}).equal(x * 3));
    CHECK(
        tensor("def f(x, name='a', on=True): return x * len(name) if on else x\n", {x, "abc"}).equal(x * 3));
}

TEST_CASE("A parameter that is compared with a text is one") {
    const std::string source =
        "def f(x, activation=None):\n  if activation not in [None, 'silu']:\n    raise ValueError('no')\n"
        "  on = activation in ['silu']\n  return ops.scale(x) if on else x\n";
    CHECK(tensor(source, {x}).equal(x));
    CHECK(tensor(source, {x, "silu"}).equal(x * 2));
    CHECK_THROWS(tensor(source, {x, "gelu"}));
}

TEST_CASE("A parameter that is unpacked is a tuple") {
    CHECK(tensor("def f(pair):\n  a, b = pair\n  return a - b\n", {c10::ivalue::Tuple::create({x * 3, x})})
              .equal(x * 2));
}

TEST_CASE("A parameter that is handed on is what is taken there") {
    CHECK(tensor("def g(x, factor): return ops.scale(x, factor=factor)\ndef f(x, by): return g(x, by)\n",
                 {x, 3.0})
              .equal(x * 3));
    CHECK(tensor("class A(torch.autograd.Function):\n  @staticmethod\n  def forward(ctx, x, n: int): return "
                 "x * n\n"
                 "def f(x, n): return A.apply(x, n)\n",
                 {x, 4})
              .equal(x * 4));
    CHECK(tensor("def g(x, n): return f(x, n)\ndef h(x, n): return g(x, n)\ndef f(x, n): return x * n\n",
                 {x, x})
              .equal(x * x));
}

TEST_CASE("Flags decide on the type of the result") {
    const std::string source =
        "def g(x, more): \n  y = x * 2\n  return y if not more else (y, x)\n"
        "def f(x):\n  a, b = g(x, True)\n  return a + b + g(x, more=False)\n";
    CHECK(tensor(source, {x}).equal(x * 5));
}

TEST_CASE("Functions that double with each flag are stopped") {
    std::string source;
    std::string flags;
    for (int i = 0; i < 13; ++i) {
        const std::string next = "g" + std::to_string(i + 1) + "(x" + flags;
        source += "def g" + std::to_string(i) + "(x" + flags + "): return " + next + ", True) + " + next +
                  ", False)\n";
        flags += ", a" + std::to_string(i);
    }
    source += "def g13(x" + flags + "): return x\ndef f(x): return g0(x)\n";
    CHECK_THROWS_WITH_AS(tensor(source, {x}), doctest::Contains("in too many ways"), Error);
}

TEST_CASE("Generators that something goes through, and what is written out") {
    CHECK(tensor("def f(x): return x * 2 if any(y.requires_grad for y in [x, x]) else x\n", {x}).equal(x));
    CHECK(tensor("def f(x, y):\n  x, y = [z * 2 for z in (x, y)]\n  return x + y\n", {x, x}).equal(x * 4));
    CHECK(tensor("def f(x): return x * sum(n for n in x.shape)\n", {x}).equal(x * 4));
}
