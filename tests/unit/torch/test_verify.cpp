// Verifying layers that draw random numbers.
#include <torch/script.h>

// libtorch's logging has a CHECK of its own.
#undef CHECK
#include <doctest/doctest.h>

#include <string>

#include "kernels/torch/verify.hpp"

using namespace kernels::torchscript;

namespace {

torch::jit::Module model_of(const std::string& result) {
    torch::jit::Module layer("L");
    layer.register_attribute("training", c10::BoolType::get(), true);
    layer.define("def forward(self, x: Tensor) -> Tensor:\n    return " + result + "\n");
    torch::jit::Module model("M");
    model.register_attribute("training", c10::BoolType::get(), true);
    model.register_module("layer", layer);
    model.define("def forward(self, x: Tensor) -> Tensor:\n    return self.layer.forward(x) + 1.0\n");
    return model;
}

// What is found of a layer with dropout and another in its place.
Verification found(const std::string& other,
                   const std::string& own = "torch.dropout(x, 0.5, self.training)") {
    auto original = model_of(own);
    auto replaced = model_of(other);
    KernelizeReport report;
    report.mode = "inference";
    report.layers.emplace_back();
    report.layers.back().module = "layer";
    report.layers.back().layer = "L";
    report.layers.back().status = "replaced";
    VerifyOptions options;
    options.inputs = {torch::rand({4, 8})};
    auto verification = verify(original, replaced, report, options);
    CHECK(original.is_training());
    CHECK(replaced.is_training());
    return verification;
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
