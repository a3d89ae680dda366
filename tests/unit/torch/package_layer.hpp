// A kernel's package with ops of its own, and its layer L compiled and called.
#pragma once

#include <torch/library.h>
#include <torch/script.h>

#include "torch_doctest.hpp"

#include "checking.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/runtime/runtime.hpp"
#include "temporary_folder.hpp"
#include "torch/frontend.hpp"

namespace kernels::torchscript {

inline const std::string op_namespace = "front_test";

// The ops of the kernel that these sources call.
inline void with_ops() {
    static torch::Library* const library = [] {
        auto* made = new torch::Library(torch::Library::DEF, op_namespace, std::nullopt, __FILE__, __LINE__);
        made->def("relu(Tensor! out, Tensor input) -> ()",
                  [](at::Tensor& out, const at::Tensor& input) { out.copy_(at::relu(input)); });
        made->def("both(Tensor x) -> (Tensor, Tensor)",
                  [](const at::Tensor& x) { return std::make_tuple(x + 1, x * 2); });
        made->def("all(Tensor x) -> Tensor[]", [](const at::Tensor& x) {
            return std::vector<at::Tensor>{x + 1, x * 2};
        });
        made->def("scale(Tensor x, *, float factor=2.0, Tensor? bias=None) -> Tensor",
                  [](const at::Tensor& x, double factor, const std::optional<at::Tensor>& bias) {
                      return bias ? x * factor + *bias : x * factor;
                  });
        // An implementation without a schema.
        made->impl("implemented", torch::dispatch(c10::DispatchKey::CPU,
                                                  [](const at::Tensor& input) { return at::relu(input); }));
        runtime::load_library("", op_namespace);
        return made;
    }();
    (void)library;
}

using Files = std::map<std::string, std::string>;

inline void write_package(const testing::TemporaryFolder& folder, const Files& files) {
    write_file(folder / "__init__.py", "");
    for (const auto& [name, text] : files)
        write_file(folder / name, text);
}

// A layer to be replaced: a weight, an epsilon, a child.
inline torch::jit::Module plain_layer() {
    torch::jit::Module layer("Layer");
    layer.register_parameter("weight", torch::full({4}, 3.0), false);
    layer.register_attribute("eps", c10::FloatType::get(), 0.5);
    torch::jit::Module child("Child");
    child.register_parameter("weight", torch::full({4}, 10.0), false);
    child.define("def forward(self, x):\n    return x + self.weight\n");
    layer.register_module("child", child);
    return layer;
}

// Compiles the layer L of these files and calls it.
inline c10::IValue run(const Files& files, const std::vector<c10::IValue>& inputs,
                       std::map<std::string, project::AttributeValue> given = {{"given", 7.0}}) {
    with_ops();
    const testing::TemporaryFolder folder;
    write_package(folder, files);
    auto layer = plain_layer();
    CompileOptions options{op_namespace, std::move(given), {}, std::vector<c10::TypePtr>{}};
    for (const auto& input : inputs)
        options.arguments->push_back(input.isTensor() ? c10::TensorType::get() : input.type());
    compile_method(layer, layer.type(), "hub_forward",
                   HubModule::load(folder.path(), false).layer("L").forward, options);
    return layer.get_method("hub_forward")(inputs);
}

inline const std::string imports =
    "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\nfrom ._ops import ops\n";
inline const std::string head =
    imports + "class L(nn.Module):\n  def forward(self, x):\n";  // the body begins on line 7

inline at::Tensor body(const std::string& statements, const at::Tensor& x) {
    return run({{"layers.py", head + statements}}, {x}).toTensor();
}

inline std::string refused(const Files& files) {
    try {
        run(files, {torch::ones({4})});
    } catch (const Error& error) {
        return error.what();
    }
    return "nothing was refused";
}

inline const auto x = torch::tensor({-1.0, 0.0, 2.0, 3.0});

}  // namespace kernels::torchscript
