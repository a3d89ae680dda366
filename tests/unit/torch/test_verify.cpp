// Verifying layers that draw random numbers.
#include <torch/script.h>

#include "torch_doctest.hpp"

#include <string>

#include "kernels/torch/verify.hpp"
#include "torch/tensors_in.hpp"
#include "torch/verifier.hpp"
#include "verified_layer.hpp"

using namespace kernels::torchscript;
using kernels::testing::model_of;

namespace {

// What is found of a layer with dropout and another in its place.
Verification found(const std::string& other, const std::string& own = "torch.dropout(x, 0.5, self.training)",
                   bool training = true, const std::string& mode = "inference",
                   const at::Tensor& weight = {}) {
    return kernels::testing::verified(torch::rand({4, weight.defined() ? weight.size(0) : 8}), own, other,
                                      {training, mode}, weight);
}

const std::string drawn = "torch.where(torch.rand_like(x) > 0.5, x * 2.0, torch.zeros_like(x))";

bool says(const Verdict& verdict) {
    for (const auto& note : verdict.notes)
        if (note.find("draws random numbers in training") != std::string::npos) return true;
    return false;
}

}  // namespace

TEST_CASE("A layer that draws the numbers that the original draws is compared in training") {
    const auto same = found("torch.dropout(x * 1.0, 0.5, self.training)");
    CHECK(same.passed());
    CHECK(same.layers.at(0).cases > 3);
    CHECK(!says(same.layers[0]));
    CHECK(!says(same.model));
    // What the original draws is no reason to expect any result.
    const auto wrong = found("torch.dropout(x * 1.01, 0.5, self.training)");
    CHECK(!wrong.layers.at(0).problem.empty());
    CHECK(!wrong.model.problem.empty());
}

TEST_CASE("A layer that draws other random numbers is compared in evaluation, and that is told") {
    const auto other = found(drawn + " if self.training else x");
    CHECK(other.passed());
    REQUIRE(other.layers.size() == 1);
    CHECK(other.layers[0].cases > 3);
    CHECK(says(other.layers[0]));
    CHECK(says(other.model));
    CHECK(other.model.cases > 1);
    const auto wrong = found(drawn + " if self.training else x * 1.01");
    CHECK(!wrong.passed());
    CHECK(!wrong.layers[0].problem.empty());
}

TEST_CASE("A layer that draws no random numbers where the original does is wrong") {
    const auto none = found("x");
    CHECK(!none.passed());
    CHECK(!says(none.layers[0]));
    const auto only_it = found(drawn + " if self.training else x", "x");
    CHECK(!only_it.passed());
    CHECK(!says(only_it.layers[0]));
    // In evaluation both are drawn alike: nothing is left to compare.
    const auto always = found(drawn, "torch.dropout(x, 0.5, True)");
    CHECK(!always.passed());
}

TEST_CASE("A kernel that changes its weights is wrong, also where they are too large to be copied") {
    for (const int64_t size : {8, 2100}) {
        CAPTURE(size);
        const std::string own = "torch.matmul(x, self.weight.abs())";
        const auto weight = [&] { return torch::full({size, size}, -0.1); };
        CHECK(found(own + " * 1.0", own, false, "inference", weight()).passed());
        const auto wrong = found("torch.matmul(x, self.weight.abs_())", own, false, "inference", weight());
        CHECK(wrong.layers.at(0).problem.find("changes its parameter") != std::string::npos);
    }
}

TEST_CASE("Code that asks for dtypes does in float64 what it does in its own") {
    const std::string own =
        "    eps = 1e-6 if x.dtype == 6 else 1e-2\n    return x * torch.rsqrt(x.pow(2).mean([1], True) + "
        "eps)\n";
    const auto with = [&](const std::string& eps) {
        return found("x * torch.rsqrt(x.pow(2).mean([1], True) + (" + eps + " if x.dtype == 6 else 1e-2))",
                     own, false);
    };
    const auto right = with("1e-6");
    CHECK(right.passed());
    CHECK(right.layers.at(0).notes.empty());
    CHECK(!with("1e-3").passed());
    CHECK(!with("2e-2").passed());
}

TEST_CASE("Code that decides by dtypes of what it converted is compared in its own") {
    const std::string own =
        "    t = x.to(15).to(6)\n    return t * (1.0 if t.dtype == 15 else 0.5) * torch.ones([8])\n";
    CHECK(found("x.to(15).to(6) * 0.5", own, false).passed());
    const auto wrong = found("x.to(15).to(6)", own, false);
    CHECK(!wrong.passed());
}

TEST_CASE("Where code computes something else in float64 that is no measure") {
    const std::string own = "(x + 1e6) - 1e6 + torch.full_like(x, 0.5)";  // of which float32 keeps little
    const auto right = found(own + " + 0.0", own, false);
    CHECK(right.passed());
    CHECK(right.layers.at(0).notes ==
          std::vector<std::string>{"not compared in float64: it computes something else there"});
    const auto wrong = found(own + " + 0.01", own, false);
    CHECK(
        wrong.layers.at(0).problem.ends_with(" (not compared in float64: it computes something else there)"));
}

TEST_CASE("A kernel may be more exact than an original that little is left of") {
    const std::string own = "(x * x).mean([1], True) - x.mean([1], True) * x.mean([1], True)";
    const auto with = [&](const std::string& other) {
        return kernels::testing::verified(torch::rand({4, 8}) + 299.5, own, other);
    };
    const auto right = with("x.var([1], False, True)");
    CHECK(right.passed());
    CHECK(right.layers.at(0).notes.empty());
    CHECK(!with("x.std([1], False, True)").passed());
    CHECK(!with("x.var([0, 1], False, True).expand([x.size(0), 1])").passed());
}

TEST_CASE("Inputs that are made take no more memory than the model's own, or 64 MiB") {
    const auto with = [](const std::string& elements) {
        return "    y = x\n    if x.dim() == 1:\n        y = x + x[0].expand([" + elements +
               "]).clone().mean()\n    return y\n";
    };
    CHECK(!found("x", with("10 * 1048576"), false).passed());
    CHECK(found("x", with("20 * 1048576"), false).passed());
}

TEST_CASE("Results may be constants of the model, sparse, or of 8 bits") {
    const auto of = [](const std::string& result) {
        torch::jit::Module model("M");
        model.register_module("layer", model_of("x * 2.0").attr("layer").toModule());
        model.define("def forward(self, x: Tensor):\n    y = self.layer.forward(x)\n    return y, " + result +
                     "\n");
        return model;
    };
    for (const std::string result :
         {"torch.zeros([1])", "torch.arange(8)", "torch.ones([4, 8])[0]", "y.to_sparse()", "y.to(24)"}) {
        CAPTURE(result);
        auto original = of(result);
        auto replaced = of(result);
        KernelizeReport report;
        report.mode = "inference";
        report.layers.emplace_back();
        report.layers.back().module = "layer";
        report.layers.back().status = "replaced";
        VerifyOptions options;
        options.inputs = {torch::rand({4, 8})};
        CHECK(verify(original, replaced, report, options).passed());
    }
}

TEST_CASE("Random numbers that are others in float64 forgive nothing") {
    const auto passes = [](const std::string& own, const std::string& other) {
        const bool evaluation = found(other, own, false).passed();
        CHECK(found(other, own, true).passed() == evaluation);
        return evaluation;
    };
    CHECK(passes("x * (torch.rand_like(x) < 0.7)", "(torch.rand_like(x) < 0.7) * x"));
    CHECK(!passes("x * (torch.rand_like(x) < 0.7)", "x * 0.7 * (torch.rand_like(x) < 0.7)"));
    CHECK(!passes("x + torch.rand_like(x)", "x + torch.rand_like(x) + 0.2"));
    CHECK(!passes("x * torch.bernoulli(torch.full_like(x, 0.7))",
                  "x * 0.8 * torch.bernoulli(torch.full_like(x, 0.7))"));
}

TEST_CASE("A branch that random numbers choose is compared") {
    const std::string own = "x * 2 if bool(torch.rand(1) < 0.5) else x * 3";
    for (const bool training : {true, false}) {
        CAPTURE(training);
        CHECK(found("x + x if bool(torch.rand(1) < 0.5) else x * 3", own, training).passed());
        for (const char* other : {"x * 2 if bool(torch.rand(1) < 0.5) else x * 5",
                                  "x * 5 if bool(torch.rand(1) < 0.5) else x * 3"}) {
            const auto wrong = found(other, own, training);
            CHECK(!wrong.layers.at(0).problem.empty());
        }
    }
    const std::string skipped = "    if self.training and bool(torch.rand(1) < 0.2):\n        return x\n";
    CHECK(found(skipped + "    return 2 * x\n", skipped + "    return x * 2\n").passed());
    CHECK(!found(skipped + "    return x * 2\n",
                 "    if self.training and bool(torch.rand(1) < 0.2):\n"
                 "        return x * 1.5\n    return x * 2\n")
               .passed());
}

TEST_CASE("In training a layer that draws the original's numbers must agree with it") {
    const std::string dropped = "    y = torch.dropout(x, 0.5, self.training)\n";
    CHECK(found(dropped + "    return y\n").passed());
    CHECK(!found("torch.dropout(x, 0.1, self.training)").passed());
    for (const char* more :
         {"y = -y", "y = y / 0.0", "y = y.double()", "x.zero_()", "self.calls.add_(100)"}) {
        CAPTURE(std::string(more));
        const auto wrong = found(dropped + "    if self.training:\n        " + more + "\n    return y\n");
        CHECK(!wrong.layers.at(0).problem.empty());
        CHECK(!says(wrong.layers[0]));
    }
    const auto detached = found("torch.dropout(x.detach() if self.training else x, 0.5, self.training)",
                                "torch.dropout(x, 0.5, self.training)", true, "training");
    CHECK(detached.layers.at(0).problem.find("gradient") != std::string::npos);
}

TEST_CASE("Other random numbers in training forgive another result of the same form alone") {
    const auto with = [](const std::string& more, const std::string& mode = "inference") {
        const std::string body = "    y = x\n    if self.training:\n        y = " + drawn + "\n        " +
                                 more + "\n    return y\n";
        return found(body, "torch.dropout(x, 0.5, self.training)", true, mode);
    };
    CHECK(with("pass").passed());
    CHECK(with("pass", "training").passed());
    for (const auto& [more, problem] : std::vector<std::pair<std::string, std::string>>{
             {"y = y / 0.0", "result differs"},
             {"y = y.double()", "a Double tensor"},
             {"y = y[:-1]", "a Float tensor of shape"},
             {"x.zero_()", "changes its argument 1"},
             {"self.calls.add_(1)", "changes its attribute calls"},
             {"y = x.mul_(y.sum() * 0.0 + 1.0)", "shares memory with its argument 1"}}) {
        CAPTURE(more);
        const auto wrong = with(more);
        CHECK(wrong.layers.at(0).problem.find(problem) != std::string::npos);
    }
    CHECK(with("y = y.detach()", "training").layers.at(0).problem.find("gradient of argument 1 is zero") !=
          std::string::npos);
}

TEST_CASE("Comparing in evaluation leaves each module in its mode") {
    const auto frozen_inside = [](const std::string& result) {
        torch::jit::Module child("Child");
        child.register_attribute("training", c10::BoolType::get(), false);
        child.define("def forward(self, x: Tensor) -> Tensor:\n    return x * 3.0 if self.training else x\n");
        torch::jit::Module layer("L");
        layer.register_attribute("training", c10::BoolType::get(), true);
        layer.register_module("child", child);
        layer.define("def forward(self, x: Tensor) -> Tensor:\n    return " + result + "\n");
        return layer;
    };
    VerifyOptions options;
    Verifier verifier(options, false);
    auto pair = verifier.pair_of(frozen_inside("torch.dropout(self.child.forward(x), 0.5, self.training)"),
                                 frozen_inside(drawn + " if self.training else self.child.forward(x)"));
    Verdict verdict;
    verdict.module = "layer";
    verifier.layer(verdict, pair, {torch::rand({4, 8})}, "inputs", false);
    CHECK(verdict.problem == "");
    CHECK(says(verdict));
    for (const auto& layer : {pair.original, pair.replaced}) {
        CHECK(layer.is_training());
        CHECK(!layer.attr("child").toModule().is_training());
    }
}

TEST_CASE("A tensor that is the conjugate or the negative of its memory is compared as such") {
    const auto rows = torch::rand({4, 8});
    const auto conjugate = torch::fft::rfft(rows).conj();
    for (const at::Tensor& lazy : {conjugate, at::imag(conjugate)}) {
        REQUIRE((lazy.is_conj() || lazy.is_neg()));
        const auto values = lazy.resolve_conj().resolve_neg().clone();
        CHECK(exact_copy(lazy).equal(values));
        CHECK(exact_copy(lazy).strides() == lazy.strides());
        CHECK(same_bytes(lazy, exact_copy(lazy)));
        const auto otherwise = lazy.is_conj() ? lazy.conj() : at::imag(conjugate.conj());
        CHECK(!same_bytes(lazy, otherwise));
        auto changed = exact_copy(lazy);
        changed.mul_(2);
        give_bytes(changed, exact_copy(lazy));
        CHECK(changed.equal(values));
    }
    const std::string lazy = "torch.imag(torch.conj(torch.fft_rfft(x)))";
    CHECK(found("-torch.imag(torch.fft_rfft(x))", lazy).passed());
    CHECK(!found("torch.imag(torch.fft_rfft(x))", lazy).passed());
    CHECK(!found(lazy, "torch.imag(torch.fft_rfft(x))").passed());
}

TEST_CASE("What is replaced for training is compared in training, however the model was saved") {
    const std::string own = "torch.dropout(x, 0.5, self.training)";
    for (const bool training : {true, false}) {
        CAPTURE(training);
        const auto passes = [&](const std::string& other, const std::string& mode = "training") {
            return found(other, own, training, mode).passed();
        };
        CHECK(passes("torch.dropout(x * 1.0, 0.5, self.training)"));
        CHECK(passes(drawn + " if self.training else x"));
        CHECK(!passes("x"));
        CHECK(!passes("torch.dropout(x, 0.2, self.training)"));
        // A model that is trained is evaluated as well.
        CHECK(!passes("torch.dropout(x, 0.5, True)"));
        CHECK(!passes("torch.dropout(x, 0.5, self.training) * (1.0 if self.training else 1.01)"));
        CHECK(passes("x", "inference") == !training);
    }
}

TEST_CASE("On an unusual layout the same random numbers may fall on other elements") {
    // As a sum with something contiguous does: dropout follows the memory of what it is given.
    const std::string own = "    y = x.contiguous()\n    return torch.dropout(y, 0.5, self.training)\n";
    const std::string other = "torch.dropout(x * 1.0, 0.5, self.training)";
    CHECK(found(other, own).passed());
    CHECK(found(other, own, true, "training").passed());
    CHECK(!says(found(other, own).layers.at(0)));
    const auto wrong_there = [&](const std::string& factor) {
        return found("torch.dropout(x * (1.0 if x.is_contiguous() else " + factor + "), 0.5, self.training)",
                     own);
    };
    CHECK(wrong_there("1.0").passed());
    CHECK(!wrong_there("1.01").passed());  // found in evaluation
    CHECK(!wrong_there("float('nan')").passed());
    CHECK(!found("torch.dropout(x if x.is_contiguous() else x.double(), 0.5, self.training)", own).passed());
    CHECK(!found("torch.dropout(x.t().contiguous().t(), 0.5, self.training)", own).passed());
}

TEST_CASE("A layer may refuse widths loudly, where its model takes them that is a fault of the model's") {
    const auto refuses =
        found("    assert x.size(-1) % 8 == 0\n    return torch.relu(x)\n", "torch.relu(x)", false);
    REQUIRE(refuses.layers.size() == 1);
    CHECK(refuses.layers[0].problem.empty());
    REQUIRE(refuses.layers[0].notes.size() == 1);  // one for all widths
    CHECK(refuses.layers[0].notes[0].find("columns in the place of 8: it fails") != std::string::npos);
    CHECK(refuses.model.problem.find("columns in the place of 8: it fails") != std::string::npos);
    const auto rows =
        found("    assert x.size(0) % 4 == 0\n    return torch.relu(x)\n", "torch.relu(x)", false);
    CHECK(rows.layers.at(0).problem.find("rows in the place of 4: it fails") != std::string::npos);
}
