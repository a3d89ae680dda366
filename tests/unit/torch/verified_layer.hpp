// A model of one layer, verified with another layer in its place.
#pragma once

#include <torch/script.h>

#include "torch_doctest.hpp"

#include <string>

#include "kernels/torch/verify.hpp"

namespace kernels::testing {

// `code` is the layer's result, or the lines of its body.
inline torch::jit::Module model_of(const std::string& code, const at::Tensor& weight = {}) {
    torch::jit::Module layer("L");
    if (weight.defined() && weight.element_size() > 1) layer.register_parameter("weight", weight, false);
    if (weight.defined() && weight.element_size() == 1) layer.register_buffer("weight", weight);
    layer.register_attribute("training", c10::BoolType::get(), true);
    layer.register_buffer("calls", torch::zeros({1}));
    const std::string body = code.starts_with("    ") ? code : "    return " + code + "\n";
    layer.define("def forward(self, x: Tensor) -> Tensor:\n" + body);
    torch::jit::Module model("M");
    model.register_attribute("training", c10::BoolType::get(), true);
    model.register_module("layer", layer);
    model.define("def forward(self, x: Tensor) -> Tensor:\n    return self.layer.forward(x).float() + 1.0\n");
    return model;
}

struct VerifiedIn {
    bool training = false;
    std::string mode = "inference";
};

inline torchscript::Verification verified(const at::Tensor& input, const std::string& own,
                                          const std::string& other, const VerifiedIn& in = {},
                                          const at::Tensor& weight = {}) {
    auto original = model_of(own, weight);
    auto replaced = model_of(other, weight);
    original.train(in.training);
    replaced.train(in.training);
    torchscript::KernelizeReport report;
    report.mode = in.mode;
    report.layers.emplace_back();
    report.layers.back().module = "layer";
    report.layers.back().layer = "L";
    report.layers.back().status = "replaced";
    torchscript::VerifyOptions options;
    options.inputs = {input};
    auto verification = torchscript::verify(original, replaced, report, options);
    CHECK(original.is_training() == in.training);
    CHECK(replaced.is_training() == in.training);
    return verification;
}

}  // namespace kernels::testing
