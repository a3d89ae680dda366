// Verifying layers whose values are of a kind of their own: choices, few bits, numbers with a meaning.
#include <torch/script.h>

#include "torch_doctest.hpp"

#include <string>

#include "kernels/torch/compare.hpp"
#include "torch/graph_run.hpp"
#include "torch/sensitivity.hpp"
#include "verified_layer.hpp"

using kernels::testing::verified;
using kernels::torchscript::compare;
using kernels::torchscript::CompareOptions;
using kernels::torchscript::Dtypes;
using kernels::torchscript::rounding_of;
using kernels::torchscript::run_in_double;
using kernels::torchscript::sensitivity;

TEST_CASE("Equal elements may be chosen in any order, whatever the dtype of the places is") {
    const auto x = torch::randn({16, 8});
    for (const std::string dtype : {"3", "4"}) {  // int32, int64
        const std::string own = "torch.topk(x, 3)[1].to(" + dtype + ")";
        const std::string sorted = "torch.sort(x, -1, True)[1][..., :3].to(" + dtype + ")";
        const auto right = verified(x, own, sorted);
        CAPTURE(right.layers.at(0).problem);
        CHECK(right.passed());
        CHECK(!verified(x, own, "torch.topk(x, 3, -1, False)[1].to(" + dtype + ")").passed());
    }
}

TEST_CASE("Rounding to whole numbers and to 8 bits may fall to the other side") {
    const auto x = torch::randn({64, 32});
    const std::string size = "x.abs().amax(-1, True).clamp(1e-8)";
    for (const std::string dtype : {"1", "24"}) {  // int8, float8_e4m3fn
        const std::string round = dtype == "1" ? ".round()" : "";
        const auto quantized = [&](const std::string& code) {
            return "(" + code + ")" + round + ".clamp(-127.0, 127.0).to(" + dtype + ").to(6)";
        };
        const std::string own = quantized("x / (" + size + " / 127.0)");
        const auto right = verified(x, own, quantized("x * (127.0 / " + size + ")"));
        CAPTURE(right.layers.at(0).problem);
        CHECK(right.passed());
        CHECK(!verified(x, own, quantized("x * (126.0 / " + size + ")")).passed());
        CHECK(!verified(x, own, quantized("x * (127.0 / " + size + ")") + " * 1.01").passed());
    }
    const std::string result = ".to(24)";
    const auto right =
        verified(x, "(x / (" + size + " / 448.0))" + result, "(x * (448.0 / " + size + "))" + result);
    CAPTURE(right.layers.at(0).problem);
    CHECK(right.layers.at(0).problem.empty());
    CHECK(!verified(x, "(x / (" + size + " / 448.0))" + result, "(x * (400.0 / " + size + "))" + result)
               .passed());
}

TEST_CASE("Buffers of 8 bits are varied as others are") {
    const auto weight = torch::randn({8}).to(torch::kFloat8_e4m3fn);
    const auto x = torch::randn({4, 8});
    CHECK(verified(x, "x * self.weight.to(6)", "self.weight.to(6) * x", {}, weight).passed());
    CHECK(!verified(x, "x * self.weight.to(6)", "x * self.weight.to(6).abs()", {}, weight).passed());
}

TEST_CASE("Rows whose halves are equal stay so") {
    const auto half = torch::rand({6, 4});
    const std::string own = "x[:, :4] * 2.0 + x[:, 4:]";
    CHECK(verified(torch::cat({half, half}, 1), own, "x[:, :4] * 3.0").passed());
    CHECK(!verified(torch::rand({6, 8}), own, "x[:, :4] * 3.0").passed());
    const std::string pairs = "x[:, ::2] * 2.0 + x[:, 1::2]";
    CHECK(verified(half.repeat_interleave(2, 1), pairs, "x[:, ::2] * 3.0").passed());
    CHECK(!verified(torch::cat({half, half}, 1), pairs, "x[:, ::2] * 3.0").passed());
    // A row of the same values tells nothing.
    CHECK(!verified(torch::ones({6, 8}), own, "x[:, :4] * 3.0").passed());
}

TEST_CASE("Numbers that the code names are among the inputs") {
    const auto ids = torch::randint(0, 10, {4, 8}, torch::kLong);
    const std::string own = "torch.where(x == -100, torch.zeros_like(x), x * 2)";
    CHECK(verified(ids, own, "torch.where(x != -100, x * 2, torch.zeros_like(x))").passed());
    const auto wrong = verified(ids, own, "x * 2");
    CHECK(wrong.layers.at(0).problem.find("whole numbers that its code names") != std::string::npos);
}

TEST_CASE("Limits that code leaves to the dtype are those of its own dtype") {
    for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
        const auto x = torch::randn({32, 64}).to(dtype);
        const auto with = [&](const std::string& eps) {
            return verified(x, "torch.rms_norm(x, [x.size(-1)])",
                            "torch.rms_norm(x, [x.size(-1)], None, " + eps + ")");
        };
        CHECK(with("1.1920929e-07").passed());
        CHECK(!with("1e-12").passed());
        CHECK(!with("1e-06").passed());
    }
    const auto x = torch::randn({32, 64});
    CHECK(verified(x, "torch.nan_to_num(x)", "torch.nan_to_num(x, 0.0, 3.4028234663852886e+38)").passed());
    CHECK(!verified(x, "torch.nan_to_num(x)", "torch.nan_to_num(x, 0.0, 1e+38)").passed());
}

TEST_CASE("Code that hands a dtype on is compared in float64") {
    const auto x = torch::randn({64, 64}).to(torch::kBFloat16);
    const auto norm = [](const std::string& factor) {
        return "    t = x.to(6)\n    f = torch.rsqrt(t.pow(2).mean([1], True) + 1e-6)\n    y = t * " +
               factor + "\n    if x.dtype == 15 or x.dtype == 5:\n        y = y.to(x.dtype)\n    return y\n";
    };
    const auto right = verified(x, norm("f"), norm("f * 1.0"));
    CHECK(right.passed());
    CHECK(right.layers.at(0).notes.empty());
    CHECK(!verified(x, norm("f"), norm("f.to(15).to(6)")).passed());
}

TEST_CASE("What a layer remembers is seen at its next call") {
    const auto x = torch::randn({4, 8});
    const auto right = verified(x, "    y = x + self.calls\n    self.calls.add_(1.0)\n    return y\n",
                                "    self.calls.add_(1.0)\n    return x + (self.calls - 1.0)\n");
    CAPTURE(right.layers.at(0).problem);
    CHECK(right.passed());
    const auto wrong = verified(x, "    y = x + self.calls\n    self.calls.add_(1.0)\n    return y\n",
                                "    self.calls.add_(1.0)\n    return x * 1.0\n");
    CHECK(wrong.layers.at(0).problem.find("its next result differs") != std::string::npos);
}

TEST_CASE("At its next call a layer gets other values") {
    const auto x = torch::randn({4, 8});
    const auto with = [](const std::string& remembered) {
        return "    y = x * 0.0 + " + remembered + "\n    self.calls.copy_(x[0, :1])\n    return y\n";
    };
    CHECK(verified(x, with("self.calls"), with("self.calls * 1.0")).passed());
    const auto wrong =
        verified(x, with("self.calls"), with("torch.where(self.calls == 0, self.calls, x[0, :1])"));
    CHECK(wrong.layers.at(0).problem.find("its next result differs") != std::string::npos);
    // In a narrow dtype roundings alone make other results.
    const auto weight = torch::randn({64, 64}).to(torch::kBFloat16);
    const auto counting = [](const std::string& product) {
        return "    self.calls.add_(1.0)\n    return " + product + "\n";
    };
    const auto narrow = torch::randn({16, 64}).to(torch::kBFloat16);
    const auto precise =
        verified(narrow, counting("torch.matmul(x, self.weight.to(x.dtype)).to(6)"),
                 counting("torch.matmul(x.to(6), self.weight.to(x.dtype).to(6))"), {}, weight);
    CAPTURE(precise.layers.at(0).problem);
    CHECK(precise.layers.at(0).problem.empty());
}

TEST_CASE("Zeros and flags are no results of roundings") {
    const auto flags = torch::rand({16, 8}).gt(0.5).to(torch::kFloat);
    const std::string own = "torch.where(x == 0, torch.zeros_like(x), x * 2.0 + 1.0)";
    CHECK(verified(flags, own, "(x * 2.0 + 1.0) * (x != 0)").passed());
    CHECK(!verified(flags, own, "x * 2.0 + 1.0").passed());
    CHECK(!verified(flags, "(x == 1).to(3)", "torch.zeros_like(x).to(3)").passed());
}

TEST_CASE("What is computed in float32 of bfloat16 is compared as float32") {
    const auto x = torch::randn({32, 64}).to(torch::kBFloat16);
    const std::string own = "torch.softmax(x.to(6), -1)";
    CHECK(verified(x, own, "torch.exp(torch.log_softmax(x.to(6), -1))").passed());
    CHECK(!verified(x, own, "torch.softmax(x, -1).to(6)").passed());
    CHECK(!verified(x, own, "torch.softmax(x.to(6), -1) * 1.01").passed());
    const auto round = [](const std::string& quotient) { return "(" + quotient + ").round().to(1).to(6)"; };
    const std::string quotient = "x.to(6) * (100.0 / x.to(6).abs().amax(-1, True).clamp(1e-8))";
    CHECK(verified(x, round(quotient), round(quotient + " * 1.0")).passed());
    CHECK(!verified(x, round(quotient), round("(" + quotient + ").to(15).to(6)")).passed());
}

TEST_CASE("Very negative values are among the inputs") {
    const auto x = torch::randn({4, 8});
    const std::string exact = "    e = torch.exp(x - x.amax(-1, True))\n    return e / e.sum(-1, True)\n";
    const std::string from_zero =
        "    e = torch.exp(x - x.amax(-1, True).clamp(min=0.0))\n    return e / e.sum(-1, True)\n";
    CHECK(verified(x, "torch.softmax(x, -1)", exact).passed());
    const auto wrong = verified(x, "torch.softmax(x, -1)", from_zero);
    CHECK(wrong.layers.at(0).problem.find("values around -200") != std::string::npos);
}

TEST_CASE("Without float64 a result may differ by what roundings of the inputs make") {
    const auto expected = torch::randn({64, 64}).to(torch::kBFloat16);
    const auto noise = [&](double size) {
        return (expected.to(torch::kFloat) + size * torch::randn({64, 64})).to(torch::kBFloat16);
    };
    const c10::IValue moves = torch::full({64, 64}, 0.1, torch::kDouble);
    CompareOptions options;
    CHECK(!compare(noise(0.05), expected, options).within);
    options.sensitivity = &moves;
    CHECK(compare(noise(0.05), expected, options).within);
    CHECK(!compare(noise(0.3), expected, options).within);
    auto one = expected.clone();
    one[3][5] += 1;
    CHECK(!compare(one, expected, options).within);
}

TEST_CASE("Other roundings of the steps move a result where no input can move") {
    torch::jit::Module module("M");
    module.register_parameter("table", torch::rand({10, 16}).to(torch::kBFloat16), false);
    module.define(
        "def forward(self, i):\n    y = torch.embedding(self.table, i)\n    for _ in range(8):\n"
        "        y = y * 1.1 + 0.3\n    return y\n");
    const torch::NoGradGuard no_gradients;
    const std::vector<c10::IValue> ids{torch::arange(10)};
    const auto result = module.forward(ids);
    const auto moves = [&](Dtypes dtypes) {
        return sensitivity(module, "forward", ids, result, 0, dtypes, rounding_of(ids)).toTensor();
    };
    CHECK(moves(Dtypes::as_named).eq(0).all().item<bool>());
    const auto size = result.toTensor().to(torch::kDouble);
    const auto own_error =
        (run_in_double(module, "forward", ids, {}).toTensor() - size).abs().mean().item<double>();
    const auto moved = moves(Dtypes::other_roundings).mean().item<double>();
    CHECK(moved > own_error);
    CHECK(moved < 16 * own_error);
}
