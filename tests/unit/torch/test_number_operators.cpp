// Operators of whose numbers TorchScript makes others than Python.
#include <cmath>

#include "package_layer.hpp"

using namespace kernels;
using namespace kernels::torchscript;

namespace {

std::string said(const std::string& statements) {
    return refused({{"layers.py", head + statements}});
}

std::string said_of(const std::string& expression) {
    return said("    n = x.shape[0]\n    m = x > 0\n    return " + expression + "\n");
}

}  // namespace

TEST_CASE("A bool next to a tensor is not taken for a whole number") {
    for (const char* expression :
         {"x * ~(m & True)", "m & (n > 1)", "x * ~((x != 0) | (n > 1))", "m ^ (n > 1)", "True & m",
          "torch.where(m, True, False)", "torch.where(m, x, n > 1)", "torch.full((2,), True)",
          "torch.full((2,), n > 1)", "torch.full((2,), fill_value=True)", "x[m.any(-1) & True]",
          "x[[True, False, True, True]]", "x[[i % 2 == 0 for i in range(4)]]", "m * (n > 1)", "m * True",
          "m.where(m, n > 1)"}) {
        INFO(expression);
        const auto words = said_of(expression);
        INFO(words);
        CHECK(words.starts_with("layers.py:9: "));
    }
    CHECK(said("    m = x > 0\n    m |= True\n    return x * m\n").starts_with("layers.py:8: "));
    CHECK(said("    k = [x.dim() == 1, True, False, True]\n    return x[k]\n").find("a list of bools") !=
          std::string::npos);
    const auto gives = [](const std::string& expression) {
        return body("    n = x.shape[0]\n    m = x > 0\n    return " + expression + "\n", x);
    };
    const auto positive = x > 0;
    CHECK(gives("m & (x < 3) | ~m ^ m").equal((positive & (x < 3)) | (~positive ^ positive)));
    CHECK(gives("x * int(n > 1)").equal(x));
    CHECK((gives("torch.full((2,), n > 1, dtype=torch.bool)").scalar_type() == at::kBool));
    CHECK((gives("torch.full_like(m, n > 1)").scalar_type() == at::kBool));
    CHECK(gives("x.masked_fill(m == True, n > 1)").equal(x.masked_fill(positive, 1)));
    CHECK(gives("x * ((n & 6) | 1)").equal(x * 5));
    CHECK(gives("torch.where(m, x, 0)").equal(at::where(positive, x, 0)));
    // In its place, as Python does it.
    CHECK(body("    m = x > 0\n    k = m\n    m &= x < 3\n    return x * k\n", x)
              .equal(x * (positive & (x < 3))));
}

TEST_CASE("A bool that is constant is not taken for a whole number either") {
    for (const char* statements :
         {"return m.where(m, True)", "return m.mul(True)", "return m.mul(other=True)", "return m.add(True)",
          "return m.pow(True)", "return m.clamp(False, True)", "return m.bitwise_or(True)",
          "return torch.add(m, True)", "return m.mul(2 > 1)", "return m.mul(FLAG)", "return m - True",
          "return m + helper(True)", "return m + changed(m)", "return x.add(x, alpha=True)"}) {
        INFO(statements);
        const auto words =
            refused({{"layers.py", imports + "FLAG = True\ndef helper(a):\n  return torch.ones(2) > 0 + a\n" +
                                       "def changed(a):\n  a += True\n" +
                                       "class L(nn.Module):\n  def forward(self, x):\n    m = x > 0\n    " +
                                       statements + "\n"}});
        INFO(words);
        CHECK(words.starts_with("layers.py:"));
        CHECK(words.find("whole number") != std::string::npos);
    }
    for (const char* operation : {"+", "-", "*", "/", "**", "%"}) {
        INFO(operation);
        const auto words =
            said(std::string("    m = x > 0\n    f = True\n    return m ") + operation + " f\n");
        INFO(words);
        CHECK(words.starts_with("layers.py:9: "));
    }
    for (const char* statement : {"m += True", "m *= f", "m[0] |= True", "m[0] += True"}) {
        INFO(statement);
        const auto words =
            said(std::string("    m = x > 0\n    f = True\n    ") + statement + "\n    return m\n");
        INFO(words);
        CHECK(words.starts_with("layers.py:9: "));
    }
    const auto gives = [](const std::string& statements) {
        return body("    m = x > 0\n    f = True\n" + statements, x);
    };
    const auto positive = x > 0;
    CHECK(gives("    return m.any(-1, f)\n").equal(positive.any(-1, true)));
    CHECK(gives("    return m == f\n").equal(positive));
    CHECK(gives("    m[0] = True\n    return m\n")[0].item<bool>());
    CHECK(gives("    return x * (3 + f) * int(f)\n").equal(x * 4));
    CHECK((gives("    return torch.full_like(m, f)\n").scalar_type() == at::kBool));
}

TEST_CASE("What changes a part of a tensor changes the tensor") {
    const auto whole = torch::tensor({{5, 2}, {3, 4}});
    const auto gives = [&](const std::string& statement) {
        return body("    x = x.clone()\n    " + statement + "\n    return x\n", whole);
    };
    CHECK(gives("x[0] |= 8").equal(torch::tensor({{13, 10}, {3, 4}})));
    CHECK(gives("x[:, 0] &= x[:, 1]").equal(torch::tensor({{0, 2}, {0, 4}})));
    CHECK(gives("x[x > 3] ^= 1").equal(torch::tensor({{4, 2}, {3, 5}})));
    CHECK(gives("x[1] **= 2").equal(torch::tensor({{5, 2}, {9, 16}})));
    CHECK(gives("x[0] <<= 1").equal(torch::tensor({{10, 4}, {3, 4}})));
    CHECK(gives("x[0] >>= 1").equal(torch::tensor({{2, 1}, {3, 4}})));
    CHECK(gives("x[0] //= 2").equal(torch::tensor({{2, 1}, {3, 4}})));
    CHECK(gives("x[0] %= -3").equal(torch::tensor({{-1, -1}, {3, 4}})));
    CHECK(gives("x[0] += 1").equal(torch::tensor({{6, 3}, {3, 4}})));
    const auto input = whole.clone();
    body("    x <<= 1\n    return x\n", input);
    CHECK(input.equal(whole * 2));
    CHECK(body("    a = [1, 2]\n    a[0] |= 4\n    a[1] **= 2\n    return x * a[0] + a[1]\n", x)
              .equal(x * 5 + 4));
    CHECK(said("    x[x.argmax()] |= 1\n    return x\n").find("of a place that a call gives") !=
          std::string::npos);
}

TEST_CASE("Powers of whole numbers are whole") {
    const auto number = [](const std::string& expression) {
        const auto result = body("    n = x.shape[0]\n    return torch.tensor(" + expression + ")\n", x);
        CHECK((result.scalar_type() == at::kLong));
        return result.item<int64_t>();
    };
    CHECK(number("(2 ** 62 + 1) % 10") == 5);
    CHECK(number("int(7 ** 21) % 1000") == 7);
    CHECK(number("(-1) ** 3") == -1);
    CHECK(number("n ** 2") == 16);
    CHECK(number("pow(n, 3)") == 64);
    CHECK(number("n ** 0") == 1);
    CHECK(number("len(str(2 ** 3))") == 1);
    CHECK(number("2 if isinstance(n ** 2, int) else 3") == 2);
    CHECK((body("    return torch.arange(2 ** 3)\n", x).scalar_type() == at::kLong));
    CHECK(body("    t = 0\n    for i in range(10 ** 3):\n      t += i\n    return x * t\n", x)
              .equal(x * 499500));
    CHECK(body("    n = x.shape[0]\n    n **= 2\n    return x * n\n", x).equal(x * 16));
    CHECK(said_of("x * 2 ** n") ==
          "layers.py:9: in `L.forward`: `**` of whole numbers is a float in "
          "TorchScript; write it as a product");
    CHECK(said_of("x * n ** 5").find("write it as a product") != std::string::npos);
    // Of variables as far as they are known.
    CHECK(body("    e = 2\n    n = x.shape[0]\n    return x * n ** e\n", x).equal(x * 16));
    CHECK(body("    e: int = 0\n    k = e\n    return x * (x.shape[0] ** k + 2)\n", x).equal(x * 3));
    CHECK(body("    e = 2\n    for i in range(2):\n      x = x * x.shape[0] ** e\n    return x\n", x)
              .equal(x * 256));
    CHECK(body("    return x * 2 ** (1 + 1) * pow(2, 2)\n", x).equal(x * 16));
    CHECK(body("    e = 3\n    b = 2\n    return x * b ** e\n", x).equal(x * 8));
    CHECK(said("    e = 2\n    if x.dim() == 1:\n      e = 3\n    return x * x.shape[0] ** e\n")
              .find("write it as a product") != std::string::npos);
    CHECK(said("    e = 1\n    for i in range(2):\n      x = x * 2 ** e\n      e = e + 1\n    return x\n")
              .find("write it as a product") != std::string::npos);
    // And those of floats and tensors, and with negative exponents, as they were.
    CHECK(body("    return x * 2 ** 0.5\n", x).equal(x * std::sqrt(2.0)));
    CHECK(body("    return x ** 2\n", x).equal(x * x));
    CHECK(body("    return 2 ** x\n", x).equal(at::pow(2, x)));
    CHECK(body("    return x * x.shape[-1] ** -0.5 * x.shape[0] ** -1\n", x).equal(x * 0.5 * 0.25));
    const auto input = x.clone();
    CHECK(body("    x **= 2\n    return x\n", input).equal(x * x));
    CHECK(input.equal(x * x));
}

TEST_CASE("torch.tensor is refused of what libtorch makes something else of") {
    for (const char* expression :
         {"torch.tensor([])", "x.new_tensor([])", "torch.tensor([[]])",
          "torch.tensor([(0.1, 0.2), (0.3, 0.4)])", "torch.tensor([x.min().item(), x.max().item()])",
          "torch.tensor([r.max().item() for r in x])", "torch.tensor(x.sum().item())"}) {
        INFO(expression);
        const auto words = said_of(expression);
        INFO(words);
        CHECK(words.find("torch.tensor or .new_tensor of ") != std::string::npos);
    }
    CHECK(body("    return torch.tensor([float(x.min().item()), 1.0])\n", x)
              .equal(at::tensor({x.min().item<float>(), 1.0F})));
    CHECK(body("    return x.new_tensor([[1.0, 2.0]])\n", x).equal(at::tensor({1.0F, 2.0F}).unsqueeze(0)));
}

TEST_CASE("A dtype is neither a size nor an int, and a kind of tensors is not every tensor") {
    for (const char* expression :
         {"x.view(2, torch.int32)", "x if isinstance(x, torch.FloatTensor) else -x",
          "x if isinstance(x, torch.nn.Parameter) else -x",
          "x if isinstance(x, (torch.BoolTensor, int)) else -x", "x if isinstance(x.dtype, int) else -x"}) {
        INFO(expression);
        const auto words = said_of(expression);
        INFO(words);
        CHECK(words.starts_with("layers.py:9: "));
    }
    CHECK(said("    d = x.dtype\n    return x.view(2, d)\n").find("view with a dtype") != std::string::npos);
    CHECK(body("    return x.view(x.shape).view(-1) if isinstance(x, torch.Tensor) else -x\n", x)
              .equal(x.view(-1)));
    CHECK(body("    n = x.numel()\n    return x.view(n)\n", x).equal(x.view(-1)));
}
