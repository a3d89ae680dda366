#include <torch/script.h>

#include "torch_doctest.hpp"

#include "torch/kept_state.hpp"

using kernels::torchscript::KeptState;
using torch::jit::Module;

namespace {

Module remembering() {
    Module inner("Inner");
    inner.register_buffer("calls", torch::zeros({2}));
    inner.define("def forward(self, x):\n    self.calls.add_(1)\n    return x + self.calls\n");
    Module module("Outer");
    module.register_module("inner", inner);
    module.register_parameter("weight", torch::ones({2}), false);
    module.register_buffer("total", torch::zeros({2}));
    module.register_attribute("steps", c10::IntType::get(), 0);
    module.register_attribute("seen", c10::ListType::ofTensors(), c10::List<at::Tensor>());
    module.register_attribute("named", c10::DictType::create(c10::StringType::get(), c10::TensorType::get()),
                              c10::Dict<std::string, at::Tensor>());
    module.define(R"(
def forward(self, x):
    self.weight.add_(1)
    self.total = self.total + x
    self.steps += 1
    self.seen.append(x)
    self.named["last"] = x
    return self.inner.forward(x)
def resize(self, x):
    self.total.resize_([5])
    return self.total
)");
    return module;
}

std::vector<std::string> names(const std::vector<KeptState::Change>& changes) {
    std::vector<std::string> names;
    for (const auto& change : changes)
        names.push_back(change.name + (change.parameter ? " (parameter)" : ""));
    return names;
}

}  // namespace

TEST_CASE("State is given back in the same objects, with parameters only where that is asked for") {
    auto module = remembering();
    const auto calls = module.attr("inner").toModule().attr("calls").toTensor();
    const auto total = module.attr("total").toTensor();
    const auto list = module.attr("seen").toTensorList();
    const torch::NoGradGuard no_gradients;
    for (const bool parameters : {false, true}) {
        CAPTURE(parameters);
        module.attr("weight").toTensor().fill_(1);
        {
            KeptState state(module,
                            parameters ? KeptState::Parameters::kept : KeptState::Parameters::not_kept);
            CHECK(state.changes().empty());
            module.forward({torch::ones({2})});
            std::vector<std::string> expected{"inner.calls", "total", "steps", "seen", "named"};
            if (parameters) expected.insert(expected.begin() + 1, "weight (parameter)");
            auto changed = names(state.changes());
            std::sort(changed.begin(), changed.end());
            std::sort(expected.begin(), expected.end());
            CHECK(changed == expected);
            CHECK(state.now("steps").toInt() == 1);
            CHECK(state.now("nothing").isNone());
            state.restore();
            CHECK(state.changes().empty());
            module.forward({torch::ones({2})});
        }
        CHECK(calls.sum().item<float>() == 0);
        CHECK(module.attr("total").toTensor().is_same(total));
        CHECK(module.attr("steps").toInt() == 0);
        CHECK(list.empty());
        CHECK(module.attr("named").toGenericDict().empty());
        CHECK(module.attr("weight").toTensor()[0].item<float>() == (parameters ? 1 : 3));
    }
}

TEST_CASE("A buffer that was resized, and a tensor in a list that was there before") {
    auto module = remembering();
    const auto total = module.attr("total").toTensor();
    const auto kept = torch::ones({3});
    module.attr("seen").toTensorList().push_back(kept);
    {
        const KeptState state(module);
        module.get_method("resize")({torch::ones({2})});
        CHECK(total.numel() == 5);
        kept.fill_(9);
        CHECK(names(state.changes()) == std::vector<std::string>{"total", "seen"});
    }
    CHECK(total.equal(torch::zeros({2})));
    CHECK(kept.equal(torch::ones({3})));
}

TEST_CASE("A buffer that got gradients has none again") {
    Module module("Counting");
    module.register_buffer("calls", torch::zeros({2}));
    module.define("def forward(self, x):\n    self.calls.add_(x)\n    return self.calls * 2\n");
    const auto calls = module.attr("calls").toTensor();
    {
        const KeptState state(module);
        const at::AutoGradMode with_gradients(true);
        module.forward({torch::ones({2}).requires_grad_(true)});
        CHECK(calls.requires_grad());
    }
    CHECK(!calls.requires_grad());
    CHECK(calls.equal(torch::zeros({2})));
}
