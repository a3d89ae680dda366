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
         {"x.view(torch.int32)", "x.view(x.dtype)", "(x * 2).view(torch.uint8)",
          "x if isinstance(x, torch.FloatTensor) else -x", "x if isinstance(x, torch.nn.Parameter) else -x",
          "x if isinstance(x, (torch.BoolTensor, int)) else -x", "x if isinstance(x.dtype, int) else -x"}) {
        INFO(expression);
        const auto words = said_of(expression);
        INFO(words);
        CHECK(words.starts_with("layers.py:9: "));
    }
    CHECK(said("    d = x.dtype\n    return x.view(d)\n").find("view with a dtype") != std::string::npos);
    CHECK(body("    return x.view(x.shape).view(-1) if isinstance(x, torch.Tensor) else -x\n", x)
              .equal(x.view(-1)));
    CHECK(body("    n = x.numel()\n    return x.view(n)\n", x).equal(x.view(-1)));
}
